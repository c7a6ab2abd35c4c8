// Operations that libtorch has in parts only, each one pass over memory instead of several: bytes to normalised views, the
// gate's restore; norms are in norm.cpp.
//
// On a GPU they run the kernels of kernels.cu, once `trainer_set_kernels` has named them; everywhere else, and for types
// and shapes that those do not know, the same is composed of ATen's operations. Both are tested against each other.
// The conventions are those of native.cpp.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "guarded.h"
#include "kernels.h"

namespace {

constexpr int MAX_DEVICES = 64;

// By ordinal; written once for each device, before its first use.
std::array<Kernels, MAX_DEVICES> gpus;
// What the tests put in the place of a GPU, for tensors on the CPU and for their thread alone.
thread_local Kernels emulated;

}  // namespace

const Kernels* kernels_of(c10::Device device) {
  const Kernels& found = device.is_cuda() ? gpus.at(device.index()) : emulated;
  return found.launch && (device.is_cuda() || device.is_cpu()) ? &found : nullptr;
}

extern "C" {

// Names the kernels for GPU `ordinal`, or for the CPU tensors of this thread if it is -1; `context` goes to `launch` with each
// of them. A null `launch` takes them away.
char* trainer_set_kernels(int ordinal, Launch launch, void* context, int multiprocessors, void* const* functions,
                          size_t n) {
  return guarded([=] {
    Kernels& kernels = ordinal < 0 ? emulated : gpus.at(ordinal);
    kernels = Kernels{};
    if (!launch) return;
    TORCH_CHECK(n == NUM_KERNELS, "there are ", NUM_KERNELS, " kernels, not ", n);
    std::copy(functions, functions + n, kernels.functions.begin());
    kernels.context = context;
    kernels.multiprocessors = multiprocessors;
    kernels.launch = launch;
  });
}

// *out = new tensor [n, 3, h, w], channels-last, of scalar type `dtype` (float32 or bfloat16): bytes [n, h, w, 3] times
// scale plus shift of their channel; `scale_shift` is [2, 3] on the same device.
char* trainer_normalise(at::Tensor* bytes, at::Tensor* scale_shift, int dtype, at::Tensor** out) {
  return guarded([=] {
    TORCH_CHECK(bytes->scalar_type() == at::kByte && bytes->dim() == 4 && bytes->size(3) == 3,
                "views are bytes [n, h, w, 3], not ", bytes->toString(), bytes->sizes());
    TORCH_CHECK(scale_shift->scalar_type() == at::kFloat && scale_shift->is_contiguous() &&
                    scale_shift->sizes() == at::IntArrayRef({2, 3}) && scale_shift->device() == bytes->device(),
                "scale and shift are float32 [2, 3] beside the bytes");
    const auto type = static_cast<at::ScalarType>(dtype);
    const auto image = bytes->permute({0, 3, 1, 2});
    if (kernels_of(bytes->device()) && bytes->is_contiguous() && bytes->numel() > 0) {
      const auto views = at::empty_like(image, image.options().dtype(type));
      const long long count = bytes->numel();
      const auto blocks = static_cast<unsigned>((count + 8 * THREADS - 1) / (8 * THREADS));
      launch(bytes->device(), of_type(NORMALISE, views), Size{blocks}, Size{THREADS}, pointer(*bytes),
             floats(*scale_shift), count, pointer(views));
      *out = new at::Tensor(views);
      return;
    }
    const auto channels = [&](int which) { return scale_shift->select(0, which).view({1, 3, 1, 1}); };
    *out = new at::Tensor(image.to(at::kFloat).mul_(channels(0)).add_(channels(1)).to(type));
  });
}

// *out = new tensor [n, 3] on the device of the tensors: where to, where from, and how many 4-byte words; null if there is
// no kernel for it. The tensors have to outlive it, and keep their memory.
char* trainer_restore_table(at::Tensor* const* to, at::Tensor* const* from, size_t n, at::Tensor** out) {
  return guarded([=] {
    *out = nullptr;
    if (n == 0 || !kernels_of(to[0]->device())) return;
    auto table = at::empty({static_cast<int64_t>(n), 3}, at::kLong);
    for (size_t i = 0; i < n; ++i) {
      const at::Tensor &a = *to[i], &b = *from[i];
      const bool alike = a.is_non_overlapping_and_dense() && a.strides() == b.strides() && a.dtype() == b.dtype();
      TORCH_CHECK(alike && a.nbytes() % 4 == 0, "a state's copy has to lie in memory as the state does");
      const int64_t row[3] = {reinterpret_cast<int64_t>(a.data_ptr()), reinterpret_cast<int64_t>(b.data_ptr()),
                              static_cast<int64_t>(a.nbytes() / 4)};
      std::memcpy(table.data_ptr<int64_t>() + 3 * i, row, sizeof row);
    }
    *out = new at::Tensor(table.to(to[0]->device()));
  });
}

// Copies what the table says unless `keep` (a bool on the device); the host does not learn which.
char* trainer_restore_unless(at::Tensor* keep, at::Tensor* table) {
  return guarded([=] {
    const auto device = table->device();
    launch(device, RESTORE_WORDS, Size{4u * kernels_of(device)->multiprocessors}, Size{THREADS}, pointer(*keep),
           pointer(*table), static_cast<int>(table->size(0)));
  });
}

}  // extern "C"
