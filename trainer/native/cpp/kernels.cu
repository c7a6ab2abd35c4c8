// The fused kernels: batch norm with what follows it, bytes to normalised views, and the gate's restore.
//
// Compiled at run time (NVRTC) for the GPU at hand, so no CUDA toolkit is needed; and by the host's compiler for the tests,
// which run every thread on the CPU (emulator.cpp). So nothing is included here, and only what both know is used.
//
// Batch norm works on rows of channels: x is [rows, channels], row-major, which is what a channels-last map [n, c, h, w]
// with rows = n h w is in memory. A thread owns 16 bytes of neighbouring channels and walks down the rows of its block;
// threadIdx.x goes along the channels, threadIdx.y down the rows. No kernel uses atomics. Sums are made in an order that
// depends on the shape and the number of multiprocessors alone: on one kind of GPU the same input gives the same bits. All
// arithmetic is float32. Offsets into maps are 64 bits wide; there are at most 2^30 rows.

#ifdef __CUDACC_RTC__
typedef unsigned char uint8_t;
#endif

#define THREADS 256
// Four blocks on a multiprocessor: enough bytes under way to fill the memory's bandwidth. So a thread has 64 registers, and
// no kernel spills any to memory (a test of kernels.rs holds that).
#ifndef KERNEL
#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS, 4)
#endif

struct bf16 {
  unsigned short bits;
};

// 16 bytes of elements to and from float32.
template <typename T>
struct Pack;

template <>
struct Pack<float> {
  static const int width = 4;
  static __device__ void load(const float* from, float* to) {
    const float4 v = *reinterpret_cast<const float4*>(from);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
  }
  static __device__ void store(float* to, const float* from) {
    *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
  }
};

// Two float32 to bfloat16, rounded to nearest even; `low` goes to the lower address.
static __device__ unsigned int rounded_pair(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  unsigned int pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  unsigned int pair = 0;
  const float values[2] = {low, high};
  for (int i = 0; i < 2; ++i) {
    unsigned int bits = __float_as_uint(values[i]);
    // A NaN whose payload lies in the lower half must not become an infinity.
    bits = values[i] != values[i] ? bits | 0x400000u : bits + 0x7fffu + ((bits >> 16) & 1u);
    pair |= (bits >> 16) << (16 * i);
  }
  return pair;
#endif
}

template <>
struct Pack<bf16> {
  static const int width = 8;
  static __device__ void load(const bf16* from, float* to) {
    const uint4 v = *reinterpret_cast<const uint4*>(from);
    const unsigned int words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      to[2 * i] = __uint_as_float(words[i] << 16);
      to[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
  }
  static __device__ void store(bf16* to, const float* from) {
    *reinterpret_cast<uint4*>(to) = make_uint4(rounded_pair(from[0], from[1]), rounded_pair(from[2], from[3]),
                                               rounded_pair(from[4], from[5]), rounded_pair(from[6], from[7]));
  }
};

// The rows of a block: `begin` up to `end`.
struct Rows {
  int begin, end;
};

static __device__ Rows rows_of(int block, int blocks, int rows) {
  const int each = (rows + blocks - 1) / blocks;
  const long long begin = (long long)block * each;
  const int first = begin < rows ? (int)begin : rows;
  return {first, rows - first < each ? rows : first + each};
}

// Mean and sum of squared deviations of `count` values, and how two such sets join (Chan et al., 1979).
struct Moments {
  float count, mean, m2;
  __device__ void join(const Moments& other) {
    if (other.count == 0.f) return;
    const float total = count + other.count;
    const float delta = other.mean - mean;
    mean += delta * (other.count / total);
    m2 += other.m2 + delta * delta * (count * other.count / total);
    count = total;
  }
};

// The moments of a block's threads, one below the other, become those of the first in each column.
static __device__ void join_down(Moments* shared) {
  const int me = threadIdx.y * blockDim.x + threadIdx.x;
  __syncthreads();
  for (int half = blockDim.y / 2; half > 0; half /= 2) {
    if (threadIdx.y < half) shared[me].join(shared[me + half * blockDim.x]);
    __syncthreads();
  }
}

// Likewise two sums.
static __device__ void add_down(float (*shared)[THREADS]) {
  const int me = threadIdx.y * blockDim.x + threadIdx.x;
  __syncthreads();
  for (int half = blockDim.y / 2; half > 0; half /= 2) {
    if (threadIdx.y < half) {
      shared[0][me] += shared[0][me + half * blockDim.x];
      shared[1][me] += shared[1][me + half * blockDim.x];
    }
    __syncthreads();
  }
}

// ---------------------------------------------------------------- batch norm, forward

// partial[block][0][c] = mean, partial[block][1][c] = sum of squared deviations, over the block's rows.
template <typename T>
static __device__ void norm_moments(const T* x, int rows, int channels, float* partial) {
  const int W = Pack<T>::width;
  __shared__ Moments shared[THREADS];
  const int channel = (blockIdx.x * blockDim.x + threadIdx.x) * W;
  const bool inside = channel < channels;
  const Rows mine = rows_of(blockIdx.y, gridDim.y, rows);
  // Sums about the thread's first value: no cancellation when the mean is far from zero.
  float about[W], sum[W], squares[W];
  const int first = mine.begin + threadIdx.y;
  const bool any = inside && first < mine.end;
  const int count = any ? (mine.end - first + blockDim.y - 1) / blockDim.y : 0;
#pragma unroll
  for (int i = 0; i < W; ++i) about[i] = sum[i] = squares[i] = 0.f;
  if (any) Pack<T>::load(x + (long long)first * channels + channel, about);
#pragma unroll 4
  for (int step = 0; step < count; ++step) {
    float v[W];
    Pack<T>::load(x + (long long)(first + step * blockDim.y) * channels + channel, v);
#pragma unroll
    for (int i = 0; i < W; ++i) {
      const float d = v[i] - about[i];
      sum[i] += d;
      squares[i] += d * d;
    }
  }
  const int me = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll
  for (int i = 0; i < W; ++i) {
    const float n = (float)count;
    const float offset = count > 0 ? sum[i] / n : 0.f;
    shared[me] = {n, about[i] + offset, squares[i] - sum[i] * offset};
    join_down(shared);
    if (threadIdx.y == 0 && inside) {
      partial[2ll * blockIdx.y * channels + channel + i] = shared[me].mean;
      partial[(2ll * blockIdx.y + 1) * channels + channel + i] = shared[me].m2;
    }
    __syncthreads();
  }
}

KERNEL norm_moments_f32(const float* x, int rows, int channels, float* partial) {
  norm_moments(x, rows, channels, partial);
}
KERNEL norm_moments_bf16(const bf16* x, int rows, int channels, float* partial) {
  norm_moments(x, rows, channels, partial);
}

// Joins the moments of blocks, or of ranks: mean and 1 / sqrt(biased variance + eps), and moves the running statistics, the
// variance unbiased. Without those: mean and sum of squared deviations, to be joined again. `apart` is how many numbers lie
// from one block's to the next. One thread column a channel: blockDim = (32, 8).
KERNEL norm_statistics(const float* partial, int blocks, long long apart, long long rows, int channels, float momentum,
                       float eps, float* mean, float* invstd, float* running_mean, float* running_var) {
  __shared__ Moments shared[THREADS];
  const int channel = blockIdx.x * blockDim.x + threadIdx.x;
  const int me = threadIdx.y * blockDim.x + threadIdx.x;
  Moments all = {0.f, 0.f, 0.f};
  if (channel < channels) {
    // As `rows_of`, of more rows than an int counts.
    const long long each = (rows + blocks - 1) / blocks;
    for (int block = threadIdx.y; block < blocks; block += blockDim.y) {
      const long long left = rows - block * each;
      const Moments moments = {(float)(left < each ? (left > 0 ? left : 0) : each), partial[block * apart + channel],
                               partial[block * apart + channels + channel]};
      all.join(moments);
    }
  }
  shared[me] = all;
  join_down(shared);
  if (threadIdx.y != 0 || channel >= channels) return;
  const float n = (float)rows;
  const Moments joined = shared[me];
  mean[channel] = joined.mean;
  if (!running_mean) {
    invstd[channel] = joined.m2;
    return;
  }
  invstd[channel] = 1.f / sqrtf(joined.m2 / n + eps);
  running_mean[channel] += momentum * (joined.mean - running_mean[channel]);
  running_var[channel] += momentum * (joined.m2 / (rows > 1 ? n - 1.f : 1.f) - running_var[channel]);
}

// What a thread knows of its channels: normalised and scaled = x * scale + shift.
template <int W>
struct Affine {
  float scale[W], shift[W];
  __device__ Affine(const float* mean, const float* invstd, const float* weight, const float* bias, int channel) {
#pragma unroll
    for (int i = 0; i < W; ++i) {
      scale[i] = invstd[channel + i] * weight[channel + i];
      shift[i] = bias[channel + i] - mean[channel + i] * scale[i];
    }
  }
};

// y = relu(norm(x) + residual); the residual may be null, the ReLU left out.
template <typename T>
static __device__ void norm_apply(const T* x, const T* residual, const float* mean, const float* invstd,
                                  const float* weight, const float* bias, int rows, int channels, int relu, T* y) {
  const int W = Pack<T>::width;
  const int channel = (blockIdx.x * blockDim.x + threadIdx.x) * W;
  if (channel >= channels) return;
  const Affine<W> affine(mean, invstd, weight, bias, channel);
  const Rows mine = rows_of(blockIdx.y, gridDim.y, rows);
#pragma unroll 4
  for (int row = mine.begin + threadIdx.y; row < mine.end; row += blockDim.y) {
    const long long at = (long long)row * channels + channel;
    float v[W], r[W];
    Pack<T>::load(x + at, v);
    if (residual) Pack<T>::load(residual + at, r);
#pragma unroll
    for (int i = 0; i < W; ++i) {
      v[i] = v[i] * affine.scale[i] + affine.shift[i];
      if (residual) v[i] += r[i];
      if (relu) v[i] = v[i] < 0.f ? 0.f : v[i];  // keeps NaN, as fmaxf would not
    }
    Pack<T>::store(y + at, v);
  }
}

KERNEL norm_apply_f32(const float* x, const float* residual, const float* mean, const float* invstd, const float* weight,
                      const float* bias, int rows, int channels, int relu, float* y) {
  norm_apply(x, residual, mean, invstd, weight, bias, rows, channels, relu, y);
}
KERNEL norm_apply_bf16(const bf16* x, const bf16* residual, const float* mean, const float* invstd, const float* weight,
                       const float* bias, int rows, int channels, int relu, bf16* y) {
  norm_apply(x, residual, mean, invstd, weight, bias, rows, channels, relu, y);
}

// ---------------------------------------------------------------- batch norm, backward

// What reached the norm: `dy` where its ReLU let something through. With a residual that is read off the output `y`;
// without one it is computed again from x, which is read anyway (`recompute`).
template <int W>
static __device__ void masked(float* dz, const float* v, const Affine<W>& affine) {
#pragma unroll
  for (int i = 0; i < W; ++i) dz[i] = v[i] * affine.scale[i] + affine.shift[i] <= 0.f ? 0.f : dz[i];
}

// A thread's share of the two sums that a norm's backward pass needs, one pair a channel.
template <int W>
struct Sums {
  float sum[W], product[W];
  __device__ void add(const float* dz, const float* v, const float* centre) {
#pragma unroll
    for (int i = 0; i < W; ++i) {
      sum[i] += dz[i];
      product[i] += dz[i] * (v[i] - centre[i]);
    }
  }
};

// partial[0][block][c] = sum of dz, partial[1][block][c] = sum of dz (x - mean). With `y`, writes dz.
//
// Each of the two ways to a mask has a loop of its own: in one loop the registers of both would not fit.
template <typename T>
static __device__ void norm_reduce(const T* dy, const T* x, const T* y, const float* mean, const float* invstd,
                                   const float* weight, const float* bias, int rows, int channels, int recompute, T* dz,
                                   float* partial) {
  const int W = Pack<T>::width;
  __shared__ float shared[2][THREADS];
  const int channel = (blockIdx.x * blockDim.x + threadIdx.x) * W;
  const bool inside = channel < channels;
  const Rows mine = rows_of(blockIdx.y, gridDim.y, rows);
  const int end = inside ? mine.end : 0;
  Sums<W> sums;
  float centre[W];
#pragma unroll
  for (int i = 0; i < W; ++i) {
    sums.sum[i] = sums.product[i] = 0.f;
    centre[i] = inside ? mean[channel + i] : 0.f;
  }
  if (y) {
#pragma unroll 1
    for (int row = mine.begin + threadIdx.y; row < end; row += blockDim.y) {
      const long long at = (long long)row * channels + channel;
      float g[W], v[W], out[W];
      Pack<T>::load(dy + at, g);
      Pack<T>::load(x + at, v);
      Pack<T>::load(y + at, out);
#pragma unroll
      for (int i = 0; i < W; ++i) g[i] = out[i] <= 0.f ? 0.f : g[i];
      Pack<T>::store(dz + at, g);
      sums.add(g, v, centre);
    }
  } else if (inside) {
    const Affine<W> affine(mean, invstd, weight, bias, channel);
#pragma unroll 1
    for (int row = mine.begin + threadIdx.y; row < end; row += blockDim.y) {
      const long long at = (long long)row * channels + channel;
      float g[W], v[W];
      Pack<T>::load(dy + at, g);
      Pack<T>::load(x + at, v);
      if (recompute) masked(g, v, affine);
      sums.add(g, v, centre);
    }
  }
  const int me = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll
  for (int i = 0; i < W; ++i) {
    shared[0][me] = sums.sum[i], shared[1][me] = sums.product[i];
    add_down(shared);
    if (threadIdx.y == 0 && inside) {
      partial[(long long)blockIdx.y * channels + channel + i] = shared[0][me];
      partial[(long long)(gridDim.y + blockIdx.y) * channels + channel + i] = shared[1][me];
    }
    __syncthreads();
  }
}

KERNEL norm_reduce_f32(const float* dy, const float* x, const float* y, const float* mean, const float* invstd,
                       const float* weight, const float* bias, int rows, int channels, int recompute, float* dz,
                       float* partial) {
  norm_reduce(dy, x, y, mean, invstd, weight, bias, rows, channels, recompute, dz, partial);
}
KERNEL norm_reduce_bf16(const bf16* dy, const bf16* x, const bf16* y, const float* mean, const float* invstd,
                        const float* weight, const float* bias, int rows, int channels, int recompute, bf16* dz,
                        float* partial) {
  norm_reduce(dy, x, y, mean, invstd, weight, bias, rows, channels, recompute, dz, partial);
}

// Adds the blocks' sums up: the gradients of weight and bias. blockDim = (32, 8).
KERNEL norm_parameters(const float* partial, int blocks, int channels, const float* invstd, float* dweight,
                       float* dbias) {
  __shared__ float shared[2][THREADS];
  const int channel = blockIdx.x * blockDim.x + threadIdx.x;
  const int me = threadIdx.y * blockDim.x + threadIdx.x;
  float sum = 0.f, product = 0.f;
  if (channel < channels) {
    for (int block = threadIdx.y; block < blocks; block += blockDim.y) {
      sum += partial[(long long)block * channels + channel];
      product += partial[(long long)(blocks + block) * channels + channel];
    }
  }
  shared[0][me] = sum, shared[1][me] = product;
  add_down(shared);
  if (threadIdx.y != 0 || channel >= channels) return;
  dbias[channel] = shared[0][me];
  dweight[channel] = shared[1][me] * invstd[channel];
}

// dx = weight invstd (dz - mean(dz) - normalised(x) mean(dz normalised(x))), where `dz` is dy if `recompute`.
template <typename T>
static __device__ void norm_input(const T* dz, const T* x, const float* mean, const float* invstd, const float* weight,
                                  const float* bias, const float* dweight, const float* dbias, int rows, int channels,
                                  int recompute, T* dx) {
  const int W = Pack<T>::width;
  const int channel = (blockIdx.x * blockDim.x + threadIdx.x) * W;
  if (channel >= channels) return;
  const Affine<W> affine(mean, invstd, weight, bias, channel);
  // dx = scale dz - slope x - level: all else is folded into two numbers a channel.
  float slope[W], level[W];
#pragma unroll
  for (int i = 0; i < W; ++i) {
    const float n = (float)rows;
    slope[i] = affine.scale[i] * invstd[channel + i] * (dweight[channel + i] / n);
    level[i] = affine.scale[i] * (dbias[channel + i] / n) - slope[i] * mean[channel + i];
  }
  const Rows mine = rows_of(blockIdx.y, gridDim.y, rows);
#pragma unroll 2
  for (int row = mine.begin + threadIdx.y; row < mine.end; row += blockDim.y) {
    const long long at = (long long)row * channels + channel;
    float g[W], v[W];
    Pack<T>::load(dz + at, g);
    Pack<T>::load(x + at, v);
    if (recompute) masked(g, v, affine);
#pragma unroll
    for (int i = 0; i < W; ++i) g[i] = affine.scale[i] * g[i] - slope[i] * v[i] - level[i];
    Pack<T>::store(dx + at, g);
  }
}

KERNEL norm_input_f32(const float* dz, const float* x, const float* mean, const float* invstd, const float* weight,
                      const float* bias, const float* dweight, const float* dbias, int rows, int channels, int recompute,
                      float* dx) {
  norm_input(dz, x, mean, invstd, weight, bias, dweight, dbias, rows, channels, recompute, dx);
}
KERNEL norm_input_bf16(const bf16* dz, const bf16* x, const float* mean, const float* invstd, const float* weight,
                       const float* bias, const float* dweight, const float* dbias, int rows, int channels,
                       int recompute, bf16* dx) {
  norm_input(dz, x, mean, invstd, weight, bias, dweight, dbias, rows, channels, recompute, dx);
}

// ---------------------------------------------------------------- views

// Bytes of RGB pixels to byte * scale + shift of their channel, 8 a thread; `scale_shift` is [2, 3]. The product is rounded
// before the sum, as libtorch's two operations do: the same bits on every device.
template <typename T>
static __device__ void normalise(const uint8_t* bytes, const float* scale_shift, long long count, T* out) {
  const int EACH = 8, W = Pack<T>::width;
  const long long begin = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * EACH;
  if (begin >= count) return;
  float values[EACH];
  const int here = count - begin < EACH ? (int)(count - begin) : EACH;
  for (int i = 0; i < here; ++i) {
    const int channel = (int)((begin + i) % 3);
    values[i] = __fadd_rn(__fmul_rn((float)bytes[begin + i], scale_shift[channel]), scale_shift[3 + channel]);
  }
  if (here == EACH) {
#pragma unroll
    for (int i = 0; i < EACH; i += W) Pack<T>::store(out + begin + i, values + i);
    return;
  }
  // The end of a tensor whose length is no multiple of 8, element by element.
  for (int i = 0; i < here; ++i) {
    if (sizeof(T) == 4) {
      reinterpret_cast<float*>(out)[begin + i] = values[i];
    } else {
      reinterpret_cast<unsigned short*>(out)[begin + i] = (unsigned short)rounded_pair(values[i], 0.f);
    }
  }
}

KERNEL normalise_f32(const uint8_t* bytes, const float* scale_shift, long long count, float* out) {
  normalise(bytes, scale_shift, count, out);
}
KERNEL normalise_bf16(const uint8_t* bytes, const float* scale_shift, long long count, bf16* out) {
  normalise(bytes, scale_shift, count, out);
}

// ---------------------------------------------------------------- the gate

// Unless `keep`: copies tensor by tensor, as 4-byte words. `table` is [tensors, 3]: to, from, number of words.
KERNEL restore_words(const bool* keep, const long long* table, int tensors) {
  if (*keep) return;
  for (int tensor = blockIdx.x; tensor < tensors; tensor += gridDim.x) {
    unsigned int* to = reinterpret_cast<unsigned int*>(table[3 * tensor]);
    const unsigned int* from = reinterpret_cast<const unsigned int*>(table[3 * tensor + 1]);
    const long long words = table[3 * tensor + 2];
    for (long long i = threadIdx.x; i < words; i += blockDim.x) to[i] = from[i];
  }
}
