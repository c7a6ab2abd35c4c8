// Starts the kernels of kernels.cu.

#pragma once

#include <array>

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

// Places in a table of kernels, in the order of KERNELS in kernels.rs. Of the first five, the one for bfloat16 follows.
enum Kernel {
  NORM_MOMENTS = 0,
  NORM_APPLY = 2,
  NORM_REDUCE = 4,
  NORM_INPUT = 6,
  NORMALISE = 8,
  NORM_STATISTICS = 10,
  NORM_PARAMETERS = 11,
  RESTORE_WORDS = 12,
  NUM_KERNELS = 13,
};

// The context that the function is of, function, grid and block (three numbers each), stream, pointers to the arguments;
// returns 0 or an error code.
using Launch = int (*)(void*, void*, const unsigned*, const unsigned*, void*, void**);

struct Kernels {
  Launch launch = nullptr;
  void* context = nullptr;
  int multiprocessors = 0;
  std::array<void*, NUM_KERNELS> functions{};
};

constexpr unsigned THREADS = 256;

// The kernels for tensors on `device`; null if there are none.
const Kernels* kernels_of(c10::Device device);

struct Size {
  unsigned x, y = 1, z = 1;
};

template <typename... Arguments>
void launch(c10::Device device, int kernel, Size grid, Size block, Arguments... arguments) {
  const Kernels& kernels = *kernels_of(device);
  const c10::DeviceGuard guard(device);
  void* stream = device.is_cuda() ? c10::impl::VirtualGuardImpl(c10::kCUDA).getStream(device).native_handle() : nullptr;
  void* pointers[] = {&arguments...};
  const int status = kernels.launch(kernels.context, kernels.functions[kernel], &grid.x, &block.x, stream, pointers);
  TORCH_CHECK(status == 0, "launching fused kernel ", kernel, " failed with CUDA error ", status);
}

inline int of_type(Kernel first, const at::Tensor& x) { return first + (x.scalar_type() == at::kBFloat16 ? 1 : 0); }

inline bool has_kernel_type(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
}

inline float* floats(const at::Tensor& x) { return static_cast<float*>(x.data_ptr()); }
inline void* pointer(const at::Tensor& x) { return x.defined() ? x.data_ptr() : nullptr; }
