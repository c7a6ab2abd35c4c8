// What tch does not expose of libtorch: autocast with a dtype, multi-tensor updates, events, devices, global switches.
//
// Every function is `extern "C"`, takes tensors as `at::Tensor*` (tch's own representation, borrowed for the call), and
// returns null or an error message that the caller frees with `trainer_free_message`: no exception crosses into Rust.
// No CUDA header is used, so the file compiles against CPU-only and CUDA builds of libtorch alike.

#include <dlfcn.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <ATen/Context.h>
#include <ATen/Version.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/env.h>

#include <torch/csrc/autograd/profiler_kineto.h>

#include "guarded.h"

namespace {

// Cheap: a Tensor is one counted pointer.
std::vector<at::Tensor> list(at::Tensor* const* tensors, size_t n) {
  std::vector<at::Tensor> out;
  out.reserve(n);
  for (size_t i = 0; i < n; ++i) out.push_back(*tensors[i]);
  return out;
}

c10::Device cuda(int ordinal) { return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(ordinal)); }

// An event together with the device it belongs to.
struct DeviceEvent {
  c10::Device device;
  c10::Event event;
  explicit DeviceEvent(c10::Device d) : device(d), event(d.type()) {}
};

}  // namespace

extern "C" {

void trainer_free_message(char* text) { free(text); }

// What libtorch says of how it was built; the caller frees the text with `trainer_free_message`.
char* trainer_torch_config(char** text) {
  return guarded([=] { *text = strdup(at::show_config().c_str()); });
}

// ---------------------------------------------------------------- autocast

// Sets autocast for one device type on this thread and says what it was before. `dtype` is an at::ScalarType.
char* trainer_autocast_enter(int is_cuda, int enabled, int dtype, int* old_enabled, int* old_dtype) {
  return guarded([=] {
    const auto device = is_cuda ? at::kCUDA : at::kCPU;
    *old_enabled = at::autocast::is_autocast_enabled(device);
    *old_dtype = static_cast<int>(at::autocast::get_autocast_dtype(device));
    at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(dtype));
    at::autocast::set_autocast_enabled(device, enabled != 0);
    at::autocast::increment_nesting();
  });
}

// Restores what `trainer_autocast_enter` found; the outermost leave drops the cached bf16 weights.
char* trainer_autocast_leave(int is_cuda, int old_enabled, int old_dtype) {
  return guarded([=] {
    const auto device = is_cuda ? at::kCUDA : at::kCPU;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device, old_enabled != 0);
    at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(old_dtype));
  });
}

// The dtype that autocast uses now on the device type, or -1 when it is off.
int trainer_autocast_dtype(int is_cuda) {
  const auto device = is_cuda ? at::kCUDA : at::kCPU;
  return at::autocast::is_autocast_enabled(device) ? static_cast<int>(at::autocast::get_autocast_dtype(device)) : -1;
}

// ---------------------------------------------------------------- many tensors at once

// x_i *= factor
char* trainer_foreach_mul_scalar(at::Tensor* const* xs, size_t n, double factor) {
  return guarded([=] { at::_foreach_mul_(list(xs, n), factor); });
}

// x_i *= y_i, where y_i may have one element
char* trainer_foreach_mul(at::Tensor* const* xs, at::Tensor* const* ys, size_t n) {
  return guarded([=] { at::_foreach_mul_(list(xs, n), list(ys, n)); });
}

// x_i += alpha y_i
char* trainer_foreach_add(at::Tensor* const* xs, at::Tensor* const* ys, size_t n, double alpha) {
  return guarded([=] { at::_foreach_add_(list(xs, n), list(ys, n), alpha); });
}

// x_i += weight (y_i - x_i)
char* trainer_foreach_lerp(at::Tensor* const* xs, at::Tensor* const* ys, size_t n, double weight) {
  return guarded([=] { at::_foreach_lerp_(list(xs, n), list(ys, n), weight); });
}

// x_i = y_i
char* trainer_foreach_copy(at::Tensor* const* xs, at::Tensor* const* ys, size_t n) {
  return guarded([=] { at::_foreach_copy_(list(xs, n), list(ys, n)); });
}

// x_i = keep ? x_i : y_i, decided on the device
char* trainer_foreach_restore(at::Tensor* const* xs, at::Tensor* const* ys, size_t n, at::Tensor* keep) {
  return guarded([=] {
    for (size_t i = 0; i < n; ++i) at::where_out(*xs[i], *keep, *xs[i], *ys[i]);
  });
}

// *out = new tensor [n] of the Euclidean norms
char* trainer_foreach_norm(at::Tensor* const* xs, size_t n, at::Tensor** out) {
  return guarded([=] { *out = new at::Tensor(at::stack(at::_foreach_norm(list(xs, n), 2))); });
}

// Frees the gradients, so that the next backward pass writes instead of adding.
char* trainer_drop_grads(at::Tensor* const* xs, size_t n) {
  return guarded([=] {
    for (size_t i = 0; i < n; ++i) xs[i]->mutable_grad() = at::Tensor();
  });
}

// ---------------------------------------------------------------- events

// Records an event on the current stream of CUDA device `ordinal`.
char* trainer_event_record(int ordinal, void** out) {
  return guarded([=] {
    auto event = std::make_unique<DeviceEvent>(cuda(ordinal));
    event->event.record(c10::impl::VirtualGuardImpl(c10::kCUDA).getStream(event->device));
    *out = event.release();
  });
}

// *done = whether everything recorded before the event has finished.
char* trainer_event_query(void* event, int* done) {
  return guarded([=] { *done = static_cast<DeviceEvent*>(event)->event.query(); });
}

// Blocks the host until the event has happened.
char* trainer_event_wait(void* event) {
  return guarded([=] { static_cast<DeviceEvent*>(event)->event.synchronize(); });
}

// Makes the current stream of the event's device wait for it; the host goes on.
char* trainer_event_block_stream(void* event) {
  return guarded([=] {
    auto* e = static_cast<DeviceEvent*>(event);
    e->event.block(c10::impl::VirtualGuardImpl(c10::kCUDA).getStream(e->device));
  });
}

void trainer_event_free(void* event) { delete static_cast<DeviceEvent*>(event); }

// ---------------------------------------------------------------- streams

// *id = a stream of libtorch's pool for CUDA device `ordinal`, beside the default one.
char* trainer_stream_new(int ordinal, int64_t* id) {
  return guarded(
      [=] { *id = c10::impl::VirtualGuardImpl(c10::kCUDA).getStreamFromGlobalPool(cuda(ordinal), false).id(); });
}

// Makes a stream the current one of this thread; *before = the one that was.
char* trainer_stream_enter(int ordinal, int64_t id, int64_t* before) {
  return guarded([=] {
    const c10::Stream stream(c10::Stream::UNSAFE, cuda(ordinal), id);
    *before = c10::impl::VirtualGuardImpl(c10::kCUDA).exchangeStream(stream).id();
  });
}

// The memory of these CUDA tensors is not given to others before what the current stream has queued by their end.
char* trainer_stream_keep(at::Tensor* const* tensors, size_t n) {
  return guarded([=] {
    for (size_t i = 0; i < n; ++i) {
      tensors[i]->record_stream(c10::impl::VirtualGuardImpl(c10::kCUDA).getStream(tensors[i]->device()));
    }
  });
}

// ---------------------------------------------------------------- devices

// Makes CUDA device `ordinal` the current one of this thread.
char* trainer_set_device(int ordinal) {
  return guarded([=] { c10::impl::VirtualGuardImpl(c10::kCUDA).setDevice(cuda(ordinal)); });
}

// *out = new tensor: the same in page-locked memory. libtorch gives that memory to others only when the copies from it that
// were queued until then have ended.
char* trainer_pin(at::Tensor* host, at::Tensor** out) {
  return guarded([=] { *out = new at::Tensor(host->pin_memory()); });
}

// ---------------------------------------------------------------- measurement

// *bytes = the most memory that tensors on a CUDA device have held at once.
char* trainer_peak_memory(int ordinal, int64_t* bytes) {
  return guarded([=] {
    const auto stats = c10::getDeviceAllocator(c10::kCUDA)->getDeviceStats(static_cast<c10::DeviceIndex>(ordinal));
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    *bytes = stats.allocated_bytes[all].peak;
  });
}

// From now on that is the most since now.
char* trainer_reset_peak_memory(int ordinal) {
  return guarded([=] { c10::getDeviceAllocator(c10::kCUDA)->resetPeakStats(static_cast<c10::DeviceIndex>(ordinal)); });
}

// From now on libtorch's profiler (Kineto) records every operation of this thread and of the backward passes it starts,
// and with `with_cuda` the kernels behind them.
char* trainer_trace_begin(int with_cuda) {
  return guarded([=] {
    std::set<torch::profiler::impl::ActivityType> activities{torch::profiler::impl::ActivityType::CPU};
    if (with_cuda) activities.insert(torch::profiler::impl::ActivityType::CUDA);
    const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
    torch::autograd::profiler::prepareProfiler(config, activities);
    torch::autograd::profiler::enableProfiler(config, activities);
  });
}

// Ends it. What was recorded goes to a file in Chrome's trace format; with a null path it is dropped.
char* trainer_trace_end(const char* path) {
  return guarded([=] {
    const auto result = torch::autograd::profiler::disableProfiler();
    if (path) result->save(path);
  });
}

// ---------------------------------------------------------------- process-wide switches

// TF32 tensor cores for float32 convolutions and for float32 matrix products.
char* trainer_set_tf32(int on) {
  return guarded([=] {
    at::globalContext().setAllowTF32CuDNN(on != 0);
    at::globalContext().setAllowTF32CuBLAS(on != 0);
  });
}

int trainer_allows_tf32() {
  return at::globalContext().allowTF32CuDNN() || at::globalContext().allowTF32CuBLAS() ? 1 : 0;
}

// Of cuBLAS: the sizes of its workspaces with which it computes the same every time. It reads them when it is first used.
static const char* const kCublasVariable = "CUBLAS_WORKSPACE_CONFIG";

static bool cublas_is_deterministic() {
  const auto config = c10::utils::get_env(kCublasVariable);
  return config == ":4096:8" || config == ":16:8";
}

// Only operations whose results are the same every time; one that has no such way is an error.
char* trainer_set_deterministic(int on) {
  return guarded([=] {
    if (on) {
      c10::utils::set_env(kCublasVariable, ":4096:8", /*overwrite=*/false);
      if (!cublas_is_deterministic())
        throw std::runtime_error("with the CUBLAS_WORKSPACE_CONFIG of this environment cuBLAS is not deterministic: unset it");
    }
    auto& context = at::globalContext();
    context.setDeterministicAlgorithms(on != 0, /*warn_only=*/false);
    context.setDeterministicCuDNN(on != 0);
    context.setDeterministicMkldnn(on != 0);
    if (on) context.setBenchmarkCuDNN(false);
  });
}

// Whether that is so, as libtorch has it.
int trainer_is_deterministic() {
  const auto& context = at::globalContext();
  return context.deterministicAlgorithms() && !context.deterministicAlgorithmsWarnOnly() &&
         context.deterministicCuDNN() && !context.benchmarkCuDNN() && cublas_is_deterministic();
}

// Loads a shared library and makes its symbols and static registrations global.
char* trainer_load_library(const char* name) {
  if (dlopen(name, RTLD_NOW | RTLD_GLOBAL)) return nullptr;
  const char* why = dlerror();
  return message(why ? why : "dlopen failed");
}

}  // extern "C"
