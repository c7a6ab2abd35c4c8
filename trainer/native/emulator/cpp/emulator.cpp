// Runs kernels.cu of `native` on the CPU, for the tests: the same source, every thread of a block in turn.
//
// A thread is a context with a stack of its own that runs to its next __syncthreads or its end; then the next one runs. So
// races between threads do not show, but wrong indices, sums, masks and roundings do, and so does a barrier that only
// some threads of a block reach. The build compiles this once with the kernels as they are, and once for each of the flaws
// in flaws.rs: SOURCE is the file, EMULATE the function that puts its kernels in place.

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static thread_local
#define __launch_bounds__(threads, blocks)

namespace {

struct Place {
  unsigned x, y;
};
// Aligned as on a GPU; the build lets a misaligned access end the program, as it ends a GPU's context.
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Rounded each for itself, never contracted; the build forbids that everywhere.
float __fmul_rn(float a, float b) { return a * b; }
float __fadd_rn(float a, float b) { return a + b; }

thread_local Place threadIdx, blockIdx, blockDim, gridDim;
thread_local ucontext_t scheduler;
thread_local ucontext_t* current;

void __syncthreads() { swapcontext(current, &scheduler); }

#define KERNEL static void
#include SOURCE

using Function = void (*)(void** arguments);

template <typename... A, size_t... I>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
  kernel(*static_cast<A*>(arguments[I])...);
}
template <typename... A>
void call(void (*kernel)(A...), void** arguments) {
  call(kernel, arguments, std::index_sequence_for<A...>());
}

#define FUNCTION(kernel) [](void** arguments) { call(kernel, arguments); }

// In the order of KERNELS in kernels.rs.
const Function functions[] = {
    FUNCTION(norm_moments_f32), FUNCTION(norm_moments_bf16), FUNCTION(norm_apply_f32), FUNCTION(norm_apply_bf16),
    FUNCTION(norm_reduce_f32),  FUNCTION(norm_reduce_bf16),  FUNCTION(norm_input_f32), FUNCTION(norm_input_bf16),
    FUNCTION(normalise_f32),    FUNCTION(normalise_bf16),    FUNCTION(norm_statistics), FUNCTION(norm_parameters),
    FUNCTION(restore_words),
};

struct Fiber {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(1 << 16);
  bool done = false;
};

thread_local Function running;
thread_local void** running_arguments;
thread_local bool* running_done;

void enter() {
  running(running_arguments);
  *running_done = true;
  setcontext(&scheduler);
}

void run_block(std::vector<Fiber>& fibers) {
  for (Fiber& fiber : fibers) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.done = false;
    makecontext(&fiber.context, enter, 0);
  }
  for (size_t num_done = 0; num_done < fibers.size();) {
    num_done = 0;
    for (size_t i = 0; i < fibers.size(); ++i) {
      threadIdx = {static_cast<unsigned>(i % blockDim.x), static_cast<unsigned>(i / blockDim.x)};
      current = &fibers[i].context;
      running_done = &fibers[i].done;
      swapcontext(&scheduler, current);
      num_done += fibers[i].done;
    }
    if (num_done > 0 && num_done < fibers.size()) std::abort();  // a barrier that not all threads reach
  }
}

int launch(void*, void* function, const unsigned* grid, const unsigned* block, void*, void** arguments) {
  running = *static_cast<const Function*>(function);
  running_arguments = arguments;
  gridDim = {grid[0], grid[1]};
  blockDim = {block[0], block[1]};
  std::vector<Fiber> fibers(blockDim.x * blockDim.y);
  for (unsigned y = 0; y < gridDim.y; ++y) {
    for (unsigned x = 0; x < gridDim.x; ++x) {
      blockIdx = {x, y};
      run_block(fibers);
    }
  }
  return 0;
}

}  // namespace

extern "C" {

char* trainer_set_kernels(int ordinal, decltype(&launch) launch, void* context, int multiprocessors,
                          void* const* functions, size_t n);

// From now on the fused operations of this thread run the kernels on CPU tensors too, as on a GPU with this many
// multiprocessors; 0 ends it.
char* EMULATE(int multiprocessors) {
  constexpr size_t n = sizeof functions / sizeof *functions;
  void* pointers[n];
  for (size_t i = 0; i < n; ++i) pointers[i] = const_cast<Function*>(&functions[i]);
  return trainer_set_kernels(-1, multiprocessors > 0 ? &launch : nullptr, nullptr, multiprocessors, pointers, n);
}

}  // extern "C"
