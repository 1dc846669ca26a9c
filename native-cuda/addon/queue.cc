#include "queue.h"

#include <algorithm>
#include <cstring>

#include "kernel-table.h"

void check(cudaError_t error, const char* operation) {
  if (error == cudaSuccess) return;
  // An error that was reported is not to be seen again by the next call.
  cudaGetLastError();
  throw CudaFailure{error, operation};
}

PinnedBlock::PinnedBlock(size_t size) : size(size) {
  check(cudaHostAlloc(&data, size, cudaHostAllocDefault), "cudaHostAlloc");
}

PinnedBlock::~PinnedBlock() { cudaFreeHost(data); }

Pending::Pending(int device) : device(device) {
  check(cudaEventCreateWithFlags(&reached, cudaEventBlockingSync | cudaEventDisableTiming), "cudaEventCreate");
}

Pending::~Pending() {
  cudaSetDevice(device);
  cudaEventDestroy(reached);
  for (cudaEvent_t stamp : stamps) cudaEventDestroy(stamp);
  if (timed) cudaGraphExecDestroy(timed);
}

cudaError_t Pending::wait() {
  cudaError_t error = cudaSetDevice(device);
  if (error == cudaSuccess) error = cudaEventSynchronize(reached);
  for (size_t i = 1; i < stamps.size() && error == cudaSuccess; i++) {
    float milliseconds_taken = 0.0f;
    error = cudaEventElapsedTime(&milliseconds_taken, stamps[i - 1], stamps[i]);
    milliseconds.push_back(milliseconds_taken);
  }
  return error;
}

Queue::Queue(int device) : device(device) {
  use();
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
}

Queue::~Queue() {
  cudaSetDevice(device);
  cudaStreamSynchronize(stream_);
  for (const auto& [number, graph] : graphs_) cudaGraphExecDestroy(graph);
  blocks_.clear();
  cudaStreamDestroy(stream_);
  cudaMemPool_t pool;
  // What was freed goes back to the system, for other processes.
  if (cudaDeviceGetDefaultMemPool(&pool, device) == cudaSuccess) cudaMemPoolTrimTo(pool, 0);
  cudaGetLastError();
}

// CUDA calls act on the calling thread's device.
void Queue::use() { check(cudaSetDevice(device), "cudaSetDevice"); }

uint64_t Queue::allocate(size_t bytes) {
  use();
  void* address = nullptr;
  check(cudaMallocAsync(&address, bytes, stream_), "cudaMallocAsync");
  return reinterpret_cast<uint64_t>(address);
}

void Queue::release(uint64_t address) {
  use();
  check(cudaFreeAsync(reinterpret_cast<void*>(address), stream_), "cudaFreeAsync");
}

void Queue::fill(uint64_t address, int byte, size_t bytes) {
  use();
  check(cudaMemsetAsync(reinterpret_cast<void*>(address), byte, bytes, stream_), "cudaMemsetAsync");
}

// Pageable memory is taken before the call returns; the copy to the device goes on while the host reads the next tensor.
void Queue::copy_in(uint64_t address, const void* data, size_t bytes) {
  use();
  check(cudaMemcpyAsync(reinterpret_cast<void*>(address), data, bytes, cudaMemcpyHostToDevice, stream_),
        "cudaMemcpyAsync");
}

std::unique_ptr<Pending> Queue::copy_out(uint64_t address, size_t bytes) {
  use();
  auto pending = std::make_unique<Pending>(device);
  const auto fits = std::find_if(blocks_.begin(), blocks_.end(), [&](const auto& block) { return block->size >= bytes; });
  if (fits == blocks_.end()) {
    pending->copy = std::make_unique<PinnedBlock>(bytes);
  } else {
    pending->copy = std::move(*fits);
    blocks_.erase(fits);
  }
  pending->copied = bytes;
  check(cudaMemcpyAsync(pending->copy->data, reinterpret_cast<void*>(address), bytes, cudaMemcpyDeviceToHost, stream_),
        "cudaMemcpyAsync");
  check(cudaEventRecord(pending->reached, stream_), "cudaEventRecord");
  return pending;
}

std::unique_ptr<Pending> Queue::mark() {
  use();
  auto pending = std::make_unique<Pending>(device);
  check(cudaEventRecord(pending->reached, stream_), "cudaEventRecord");
  return pending;
}

void Queue::launch(const LaunchList& list) {
  use();
  launch_all(list, nullptr);
}

uint32_t Queue::record(const LaunchList& list) {
  use();
  cudaGraphExec_t graph = capture(list, nullptr);
  graphs_[next_graph_] = graph;
  check(cudaGraphUpload(graph, stream_), "cudaGraphUpload");
  return next_graph_++;
}

void Queue::replay(uint32_t number) {
  use();
  const auto graph = graphs_.find(number);
  check(graph == graphs_.end() ? cudaErrorInvalidValue : cudaGraphLaunch(graph->second, stream_), "cudaGraphLaunch");
}

void Queue::forget(uint32_t number) {
  use();
  const auto graph = graphs_.find(number);
  if (graph == graphs_.end()) return;
  const cudaGraphExec_t exec = graph->second;
  graphs_.erase(graph);
  check(cudaGraphExecDestroy(exec), "cudaGraphExecDestroy");
}

std::unique_ptr<Pending> Queue::time(const LaunchList& list) {
  use();
  auto pending = std::make_unique<Pending>(device);
  for (size_t i = 0; i <= list.count; i++) {
    cudaEvent_t stamp;
    check(cudaEventCreate(&stamp), "cudaEventCreate");
    pending->stamps.push_back(stamp);
  }
  pending->timed = capture(list, &pending->stamps);
  check(cudaGraphLaunch(pending->timed, stream_), "cudaGraphLaunch");
  check(cudaEventRecord(pending->reached, stream_), "cudaEventRecord");
  return pending;
}

void Queue::recycle(std::unique_ptr<PinnedBlock> block) {
  constexpr size_t KEPT = 2;
  blocks_.push_back(std::move(block));
  // The largest are kept: they serve every size.
  std::sort(blocks_.begin(), blocks_.end(), [](const auto& a, const auto& b) { return a->size > b->size; });
  if (blocks_.size() > KEPT) blocks_.pop_back();
}

void Queue::memory(size_t* free, size_t* total) {
  use();
  check(cudaMemGetInfo(free, total), "cudaMemGetInfo");
}

cudaGraphExec_t Queue::capture(const LaunchList& list, std::vector<cudaEvent_t>* stamps) {
  // Relaxed, since the first launch of a kernel loads its module.
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    launch_all(list, stamps);
  } catch (...) {
    cudaStreamEndCapture(stream_, &graph);
    if (graph) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  check(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
  cudaGraphExec_t exec = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphDestroy(graph);
  check(error, "cudaGraphInstantiate");
  return exec;
}

void Queue::launch_all(const LaunchList& list, std::vector<cudaEvent_t>* stamps) {
  const auto stamp = [&](size_t i) {
    if (!stamps) return;
    check(cudaEventRecordWithFlags((*stamps)[i], stream_, cudaEventRecordExternal), "cudaEventRecord");
  };
  stamp(0);
  for (size_t i = 0; i < list.count; i++) {
    const int32_t kernel = list.kernels[i];
    const bool valid = kernel >= 0 && static_cast<size_t>(kernel) < KERNEL_COUNT && list.offsets[i] % 8 == 0 &&
                       list.offsets[i] + KERNELS[kernel].args_size <= list.args_size;
    const int result = valid ? KERNELS[kernel].launch(list.args + list.offsets[i], stream_) : -1;
    if (result != cudaSuccess) {
      cudaGetLastError();
      // Below zero it is a kernel's own refusal.
      const auto error = result < 0 ? cudaErrorInvalidValue : static_cast<cudaError_t>(result);
      throw CudaFailure{error, valid ? KERNELS[kernel].name : "launch list", static_cast<int>(i)};
    }
    stamp(i + 1);
  }
}
