// The Node-API module: devices, queues, memory and launches for the TypeScript half (src/native.ts has the same functions).
//
// The CUDA runtime is linked statically and opens the driver by name with its first call, so that this module loads where
// there is none. Queues are small numbers, looked up on every call: no value from JavaScript is used as a host pointer.

#include <cstring>
#include <new>
#include <string>

#include "kernel-table.h"
#include "napi.h"

namespace {

// What an environment (a main thread or a worker) holds.
struct State {
  uint32_t next = 1;
  std::unordered_map<uint32_t, std::shared_ptr<Queue>> queues;
};

State& state_of(napi_env env) {
  void* data = nullptr;
  check(napi_get_instance_data(env, &data));
  return *static_cast<State*>(data);
}

const std::shared_ptr<Queue>& queue_of(napi_env env, const Arguments& args) {
  State& state = state_of(env);
  const auto found = state.queues.find(static_cast<uint32_t>(args.integer(0)));
  if (found == state.queues.end()) args.refuse("there is no such queue");
  return found->second;
}

// A wait on a thread of the pool, and the promise that it settles.
struct Wait {
  std::shared_ptr<Queue> queue;
  std::unique_ptr<Pending> pending;
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
  cudaError_t error = cudaSuccess;
};

napi_value value_of(napi_env env, Wait& wait) {
  Pending& pending = *wait.pending;
  napi_value result;
  if (pending.copy) {
    void* data = nullptr;
    check(napi_create_arraybuffer(env, pending.copied, &data, &result));
    std::memcpy(data, pending.copy->data, pending.copied);
    wait.queue->recycle(std::move(pending.copy));
  } else if (pending.timed) {
    void* data = nullptr;
    const size_t bytes = pending.milliseconds.size() * sizeof(double);
    check(napi_create_arraybuffer(env, bytes, &data, &result));
    if (bytes > 0) std::memcpy(data, pending.milliseconds.data(), bytes);
  } else {
    check(napi_get_undefined(env, &result));
  }
  return result;
}

napi_value wait_for(napi_env env, const std::shared_ptr<Queue>& queue, std::unique_ptr<Pending> pending) {
  auto wait = std::make_unique<Wait>();
  wait->queue = queue;
  wait->pending = std::move(pending);
  napi_value promise;
  check(napi_create_promise(env, &wait->deferred, &promise));
  const auto execute = [](napi_env, void* data) {
    Wait& waiting = *static_cast<Wait*>(data);
    waiting.error = waiting.pending->wait();
  };
  const auto complete = [](napi_env env, napi_status, void* data) {
    const std::unique_ptr<Wait> waited(static_cast<Wait*>(data));
    napi_delete_async_work(env, waited->work);
    try {
      if (waited->error == cudaSuccess)
        check(napi_resolve_deferred(env, waited->deferred, value_of(env, *waited)));
      else
        check(napi_reject_deferred(env, waited->deferred, error_of(env, {waited->error, "cudaEventSynchronize"})));
    } catch (const Thrown&) {
      // Only a runtime that is shutting down fails here, and nobody waits any more.
    }
  };
  check(napi_create_async_work(env, nullptr, text(env, "calotype:cuda"), execute, complete, wait.get(), &wait->work));
  check(napi_queue_async_work(env, wait->work));
  wait.release();
  return promise;
}

napi_value driver_version(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
    int version = 0;
    // 0 where there is no driver.
    if (cudaDriverGetVersion(&version) != cudaSuccess) cudaGetLastError();
    return number(env, version);
  });
}

napi_value runtime_version(napi_env env, napi_callback_info) {
  return guarded(env, [&] { return number(env, CUDART_VERSION); });
}

napi_value device_count(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
    int count = 0;
    check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
    return number(env, count);
  });
}

// As nvidia-smi writes it and CUDA_VISIBLE_DEVICES takes it: GPU-8932f937-d72c-4106-c12f-20bd9faed9f6.
std::string text_of(const cudaUUID_t& uuid) {
  std::string result = "GPU";
  for (size_t i = 0; i < sizeof(uuid.bytes); i++) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) result += '-';
    constexpr char DIGITS[] = "0123456789abcdef";
    const auto byte = static_cast<uint8_t>(uuid.bytes[i]);
    result += {DIGITS[byte >> 4], DIGITS[byte & 15]};
  }
  return result;
}

napi_value device_info(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments args(env, info, 1);
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, args.integer(0)), "cudaGetDeviceProperties");
    napi_value result;
    check(napi_create_object(env, &result));
    set(env, result, "name", text(env, properties.name));
    set(env, result, "uuid", text(env, text_of(properties.uuid).c_str()));
    set(env, result, "major", number(env, properties.major));
    set(env, result, "minor", number(env, properties.minor));
    set(env, result, "totalBytes", number(env, static_cast<double>(properties.totalGlobalMem)));
    set(env, result, "multiprocessors", number(env, properties.multiProcessorCount));
    return result;
  });
}

napi_value kernels(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
    napi_value result;
    check(napi_create_array_with_length(env, KERNEL_COUNT, &result));
    for (size_t i = 0; i < KERNEL_COUNT; i++) {
      napi_value entry;
      check(napi_create_object(env, &entry));
      set(env, entry, "name", text(env, KERNELS[i].name));
      set(env, entry, "argsBytes", number(env, static_cast<double>(KERNELS[i].args_size)));
      check(napi_set_element(env, result, static_cast<uint32_t>(i), entry));
    }
    return result;
  });
}

napi_value open_queue(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments args(env, info, 1);
    State& state = state_of(env);
    state.queues[state.next] = std::make_shared<Queue>(args.integer(0));
    return number(env, state.next++);
  });
}

napi_value close_queue(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info, 1);
    state_of(env).queues.erase(static_cast<uint32_t>(args.integer(0)));
    return nullptr;
  });
}

napi_value allocate(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments args(env, info, 2);
    napi_value result;
    check(napi_create_bigint_uint64(env, queue_of(env, args)->allocate(args.size(1)), &result));
    return result;
  });
}

napi_value release(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info, 2);
    queue_of(env, args)->release(args.address(1));
    return nullptr;
  });
}

napi_value fill(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info, 4);
    queue_of(env, args)->fill(args.address(1), args.integer(2), args.size(3));
    return nullptr;
  });
}

napi_value copy_in(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info, 3);
    size_t bytes = 0;
    const uint8_t* data = args.array<uint8_t>(2, napi_uint8_array, &bytes);
    if (bytes > 0) queue_of(env, args)->copy_in(args.address(1), data, bytes);
    return nullptr;
  });
}

napi_value copy_out(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments args(env, info, 3);
    const auto& queue = queue_of(env, args);
    return wait_for(env, queue, queue->copy_out(args.address(1), args.size(2)));
  });
}

napi_value idle(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments args(env, info, 1);
    const auto& queue = queue_of(env, args);
    return wait_for(env, queue, queue->mark());
  });
}

napi_value launch(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info, 4);
    queue_of(env, args)->launch(args.launches(1));
    return nullptr;
  });
}

napi_value record(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments args(env, info, 4);
    return number(env, queue_of(env, args)->record(args.launches(1)));
  });
}

napi_value replay(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info, 2);
    queue_of(env, args)->replay(static_cast<uint32_t>(args.integer(1)));
    return nullptr;
  });
}

napi_value forget(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info, 2);
    queue_of(env, args)->forget(static_cast<uint32_t>(args.integer(1)));
    return nullptr;
  });
}

napi_value time_launches(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments args(env, info, 4);
    const auto& queue = queue_of(env, args);
    return wait_for(env, queue, queue->time(args.launches(1)));
  });
}

napi_value memory(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments args(env, info, 1);
    size_t free = 0;
    size_t total = 0;
    queue_of(env, args)->memory(&free, &total);
    napi_value result;
    check(napi_create_object(env, &result));
    set(env, result, "freeBytes", number(env, static_cast<double>(free)));
    set(env, result, "totalBytes", number(env, static_cast<double>(total)));
    return result;
  });
}

struct Binding {
  const char* name;
  napi_callback function;
};

constexpr Binding BINDINGS[] = {
    {"driverVersion", driver_version},
    {"runtimeVersion", runtime_version},
    {"deviceCount", device_count},
    {"deviceInfo", device_info},
    {"kernels", kernels},
    {"openQueue", open_queue},
    {"closeQueue", close_queue},
    {"allocate", allocate},
    {"release", release},
    {"fill", fill},
    {"copyIn", copy_in},
    {"copyOut", copy_out},
    {"idle", idle},
    {"launch", launch},
    {"record", record},
    {"replay", replay},
    {"forget", forget},
    {"time", time_launches},
    {"memory", memory},
};

}  // namespace

NAPI_MODULE_INIT() {
  return guarded(env, [&] {
    const auto destroy = [](napi_env, void* data, void*) { delete static_cast<State*>(data); };
    check(napi_set_instance_data(env, new State(), destroy, nullptr));
    for (const Binding& binding : BINDINGS) {
      napi_value function;
      check(napi_create_function(env, binding.name, NAPI_AUTO_LENGTH, binding.function, nullptr, &function));
      set(env, exports, binding.name, function);
    }
    return exports;
  });
}
