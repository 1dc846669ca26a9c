// Node-API in as many words as the bindings need: arguments read with checks, failures thrown as JavaScript errors.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <string>
#include <vector>

#include "queue.h"

// A JavaScript exception is pending.
struct Thrown {};

inline void check(napi_status status) {
  if (status != napi_ok) throw Thrown{};
}

// The arguments of a call.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info, size_t wanted) : env_(env), values_(wanted) {
    size_t count = wanted;
    check(napi_get_cb_info(env, info, &count, values_.data(), nullptr, nullptr));
    if (count < wanted) refuse("too few arguments");
  }

  int32_t integer(size_t i) const {
    int32_t value = 0;
    if (napi_get_value_int32(env_, values_[i], &value) != napi_ok) refuse("a number is expected");
    return value;
  }

  // A number of bytes.
  size_t size(size_t i) const {
    double value = 0;
    if (napi_get_value_double(env_, values_[i], &value) != napi_ok || !(value >= 0 && value <= 9007199254740991.0))
      refuse("a number of bytes is expected");
    return static_cast<size_t>(value);
  }

  uint64_t address(size_t i) const {
    uint64_t value = 0;
    bool lossless = false;
    if (napi_get_value_bigint_uint64(env_, values_[i], &value, &lossless) != napi_ok || !lossless)
      refuse("an address is expected");
    return value;
  }

  template <class Element>
  Element* array(size_t i, napi_typedarray_type wanted, size_t* length) const {
    napi_typedarray_type type = wanted;
    void* data = nullptr;
    if (napi_get_typedarray_info(env_, values_[i], &type, length, &data, nullptr, nullptr) != napi_ok || type != wanted)
      refuse("a typed array of another type is expected");
    return static_cast<Element*>(data);
  }

  LaunchList launches(size_t i) const {
    LaunchList list{};
    size_t offsets = 0;
    list.kernels = array<int32_t>(i, napi_int32_array, &list.count);
    list.offsets = array<uint32_t>(i + 1, napi_uint32_array, &offsets);
    list.args = array<uint8_t>(i + 2, napi_uint8_array, &list.args_size);
    if (offsets != list.count) refuse("a launch list needs as many offsets as kernels");
    return list;
  }

  [[noreturn]] void refuse(const char* problem) const {
    napi_throw_type_error(env_, nullptr, problem);
    throw Thrown{};
  }

 private:
  napi_env env_;
  std::vector<napi_value> values_;
};

inline napi_value number(napi_env env, double value) {
  napi_value result;
  check(napi_create_double(env, value, &result));
  return result;
}

inline napi_value text(napi_env env, const std::string& value) {
  napi_value result;
  check(napi_create_string_utf8(env, value.data(), value.size(), &result));
  return result;
}

inline void set(napi_env env, napi_value object, const char* name, napi_value value) {
  check(napi_set_named_property(env, object, name, value));
}

// An Error whose `cuda`, `operation` and `launch` say what failed (src/native.ts reads them).
inline napi_value error_of(napi_env env, const CudaFailure& failure) {
  const char* name = cudaGetErrorName(failure.error);
  napi_value error;
  check(napi_create_error(env, nullptr, text(env, failure.operation + ": " + cudaGetErrorString(failure.error)), &error));
  set(env, error, "cuda", text(env, name));
  set(env, error, "operation", text(env, failure.operation));
  set(env, error, "launch", number(env, failure.launch));
  return error;
}

// Runs a binding; C++ exceptions do not cross into JavaScript.
template <class Body>
napi_value guarded(napi_env env, Body body) {
  try {
    return body();
  } catch (const CudaFailure& failure) {
    napi_throw(env, error_of(env, failure));
  } catch (const std::bad_alloc&) {
    napi_throw_error(env, nullptr, "the host has no memory left");
  } catch (const Thrown&) {
    bool pending = false;
    if (napi_is_exception_pending(env, &pending) == napi_ok && !pending)
      napi_throw_error(env, nullptr, "a call into the runtime failed");
  }
  return nullptr;
}
