// A device's queue: memory, copies and launches in the order of the calls, on one stream. Knows nothing of JavaScript.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

// A CUDA call that failed, and the launch at which it did (-1: none).
struct CudaFailure {
  cudaError_t error;
  std::string operation;
  int launch = -1;
};

void check(cudaError_t error, const char* operation);

// Kernels and their argument structs, one after the other; each begins at a multiple of 8.
struct LaunchList {
  const int32_t* kernels;
  const uint32_t* offsets;
  size_t count;
  const uint8_t* args;
  size_t args_size;
};

// Host memory that the device can write.
class PinnedBlock {
 public:
  explicit PinnedBlock(size_t size);
  ~PinnedBlock();
  PinnedBlock(const PinnedBlock&) = delete;
  PinnedBlock& operator=(const PinnedBlock&) = delete;
  void* data = nullptr;
  const size_t size;
};

// Something queued, to be waited for on any thread; a copy to the host or times of launches may come with it.
class Pending {
 public:
  explicit Pending(int device);
  ~Pending();
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;
  // Blocks until the device has got here.
  cudaError_t wait();

  const int device;
  cudaEvent_t reached = nullptr;
  std::unique_ptr<PinnedBlock> copy;
  size_t copied = 0;
  // Events before, between and after the launches.
  std::vector<cudaEvent_t> stamps;
  std::vector<double> milliseconds;
  cudaGraphExec_t timed = nullptr;
};

class Queue {
 public:
  explicit Queue(int device);
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  uint64_t allocate(size_t bytes);
  void release(uint64_t address);
  void fill(uint64_t address, int byte, size_t bytes);
  void copy_in(uint64_t address, const void* data, size_t bytes);
  std::unique_ptr<Pending> copy_out(uint64_t address, size_t bytes);
  std::unique_ptr<Pending> mark();
  // Runs launches once.
  void launch(const LaunchList& list);
  // Captures launches into a graph; a number for `replay` and `forget`.
  uint32_t record(const LaunchList& list);
  void replay(uint32_t graph);
  void forget(uint32_t graph);
  // Runs launches once, with the time of each.
  std::unique_ptr<Pending> time(const LaunchList& list);
  // Takes back what a finished copy_out no longer needs.
  void recycle(std::unique_ptr<PinnedBlock> block);
  void memory(size_t* free, size_t* total);

  const int device;

 private:
  void use();
  cudaGraphExec_t capture(const LaunchList& list, std::vector<cudaEvent_t>* stamps);
  void launch_all(const LaunchList& list, std::vector<cudaEvent_t>* stamps);

  cudaStream_t stream_ = nullptr;
  uint32_t next_graph_ = 1;
  std::unordered_map<uint32_t, cudaGraphExec_t> graphs_;
  std::vector<std::unique_ptr<PinnedBlock>> blocks_;
};
