// Batch norm with the addition and the ReLU behind it, forward and backward, by the batch of this process or that of several
// ranks: kernels, or composed of ATen's operations, as fused.cpp says.

#include <algorithm>
#include <climits>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <tuple>
#include <vector>

#include <ATen/Dispatch.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/TensorIterator.h>
#include <ATen/native/cpu/Loops.h>
#include <ATen/ops/batch_norm_update_stats.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/native_batch_norm.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/threshold_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include "group.h"
#include "guarded.h"
#include "kernels.h"

namespace {

// The same values with channels innermost in memory, at an address that is a multiple of 16 bytes as the kernels' loads ask
// for. libtorch's own memory is; a view may begin anywhere in it.
at::Tensor channels_last(const at::Tensor& x) {
  const auto y = x.contiguous(x.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
  return reinterpret_cast<uintptr_t>(y.data_ptr()) % 16 == 0 ? y : y.clone();
}

// A map or vectors as rows of channels, and how blocks of threads lie on it.
struct Rows {
  int rows, channels;
  Size block;
  unsigned across;
  int multiprocessors;

  explicit Rows(const at::Tensor& x)
      : rows(static_cast<int>(x.numel() / x.size(1))),
        channels(static_cast<int>(x.size(1))),
        multiprocessors(kernels_of(x.device())->multiprocessors) {
    const unsigned lanes = channels / (16 / x.element_size());
    block.x = 1;
    while (block.x < 32 && block.x * 2 <= lanes) block.x *= 2;
    block.y = THREADS / block.x;
    across = (lanes + block.x - 1) / block.x;
  }

  // About `per_multiprocessor` blocks on each, unless there are too few rows for four a thread.
  Size grid(unsigned per_multiprocessor) const {
    const unsigned wanted = per_multiprocessor * multiprocessors / across;
    const unsigned useful = (rows + 4 * block.y - 1) / (4 * block.y);
    return {across, std::max(1u, std::min(wanted, useful))};
  }

  static constexpr unsigned SUMS = 4;   // one wave
  static constexpr unsigned MAPS = 16;  // short blocks even out the end

  // One thread column a channel.
  Size channel_grid() const { return {static_cast<unsigned>(channels + 31) / 32}; }
  static constexpr Size CHANNEL_BLOCK{32, 8};
};

// Whether the kernels know x and what belongs to its channels.
bool norm_has_kernels(const at::Tensor& x, std::initializer_list<at::Tensor> channels) {
  const auto is_known = [&](const at::Tensor& t) {
    return t.scalar_type() == at::kFloat && t.is_contiguous() && t.device() == x.device();
  };
  return kernels_of(x.device()) && has_kernel_type(x) && (x.dim() == 2 || x.dim() == 4) && x.numel() > 0 &&
         x.size(1) % (16 / x.element_size()) == 0 && x.numel() / x.size(1) <= INT_MAX / 2 &&
         std::all_of(channels.begin(), channels.end(), is_known);
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Values of the channels (axis 1), beside maps or vectors.
at::Tensor beside(const at::Tensor& channels, const at::Tensor& x) {
  return x.dim() == 4 ? channels.view({1, -1, 1, 1}) : channels;
}

// a x - b y + c, of one type; a, b and c are broadcast. On the CPU one pass over memory, where operations of ATen's would
// make three.
at::Tensor combined(const at::Tensor& a, const at::Tensor& x, const at::Tensor& b, const at::Tensor& y,
                    const at::Tensor& c) {
  if (!x.is_cpu()) return (x * a).addcmul_(y, b, -1).add_(c);
  at::Tensor out;
  auto all = at::TensorIteratorConfig().add_output(out).add_const_input(x).add_const_input(y).add_const_input(a)
                 .add_const_input(b).add_const_input(c).build();
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "combined", [&] {
    at::native::cpu_kernel(all, [](scalar_t x, scalar_t y, scalar_t a, scalar_t b, scalar_t c) -> scalar_t {
      return a * x - b * y + c;
    });
  });
  return all.output();
}

// Mean and 1 / sqrt(biased variance + eps) of rows whose moments came from every member of a team, [members, 2, c], each of
// which has n rows; moves the running statistics, the variance unbiased. Composed of ATen's operations.
std::tuple<at::Tensor, at::Tensor> joint_statistics(const at::Tensor& moments, double n, const at::Tensor& running_mean,
                                                    const at::Tensor& running_var, double momentum, double eps) {
  const double all = n * static_cast<double>(moments.size(0));
  // Chan et al., "Updating formulae" (1979). Sums of squares would cancel where the mean is far from zero.
  const auto means = moments.select(1, 0);
  const auto mean = means.mean(0);
  const auto m2 = moments.select(1, 1).sum(0) + n * (means - mean).square().sum(0);
  running_mean.lerp_(mean, momentum);
  running_var.lerp_(m2 / std::max(all - 1, 1.0), momentum);
  return {mean, (m2 / all + eps).rsqrt()};
}

// dx, dweight and dbias of a norm by the statistics of a team. The gradient of x takes the sums of all; those of weight
// and bias are of the rows here, to be averaged with all other gradients.
std::tuple<at::Tensor, at::Tensor, at::Tensor> team_backward(const Team& team, const at::Tensor& dz, const at::Tensor& x,
                                                             const at::Tensor& weight, const at::Tensor& mean,
                                                             const at::Tensor& invstd) {
  // Batch norm with statistics that are given: without eps, 1 / sqrt(variance) is 1 / standard deviation.
  const auto var = invstd.pow(-2);
  auto [unused, dweight, dbias] = at::native_batch_norm_backward(dz, x, weight, mean, var, {}, {}, /*train=*/false, 0.0,
                                                                 {false, true, true});
  const double all = static_cast<double>(x.numel() / x.size(1)) * static_cast<double>(team.count);
  const auto means = team.sum(at::stack({dbias, dweight})) / all;
  // dx = weight invstd (dz - mean(dz) - (x - mean) invstd mean(dz normalised x)): of every channel a factor of dz, a factor
  // of x, and a constant.
  const auto of_dz = weight * invstd;
  const auto of_x = of_dz * invstd * means[1];
  const auto constant = of_x * mean - of_dz * means[0];
  const auto wide = weight.scalar_type();
  const auto dx = combined(beside(of_dz, x), dz.to(wide), beside(of_x, x), x.to(wide), beside(constant, x));
  return {dx.to(x.scalar_type()), dweight, dbias};
}

// The team that a forward pass has noted.
Team team_of(AutogradContext& context) {
  auto& noted = context.saved_data;
  if (noted.find("group") == noted.end()) return {};
  return {reinterpret_cast<const Group*>(noted["group"].toInt()), noted["first"].toInt(), noted["count"].toInt()};
}

// A batch norm of one network, and what follows it; as trainer_norms has it from Rust.
struct Lane {
  at::Tensor *x, *residual, *weight, *bias, *running_mean, *running_var;
  int relu;

  bool has_kernels() const { return norm_has_kernels(*x, {*weight, *bias, *running_mean, *running_var}); }

  // Neither the kernels nor native_batch_norm ask.
  void check() const {
    for (const at::Tensor* vector : {weight, bias, running_mean, running_var}) {
      TORCH_CHECK(x->dim() > 1 && vector->numel() == x->size(1), vector->numel(), " values on a norm of shape ",
                  x->sizes());
    }
    TORCH_CHECK(!residual || residual->sizes() == x->sizes(), "a residual of shape ", residual->sizes(),
                " on a norm of shape ", x->sizes());
  }
};

// Moments of x by blocks of rows, [blocks, 2, c].
at::Tensor block_moments(const at::Tensor& x, const Rows& on, const at::TensorOptions& options) {
  const Size sums = on.grid(Rows::SUMS);
  const auto moments = at::empty({sums.y, 2, on.channels}, options);
  launch(x.device(), of_type(NORM_MOMENTS, x), sums, on.block, pointer(x), on.rows, on.channels, floats(moments));
  return moments;
}

// Writes the mean of the rows here and the sum of their squared deviations to `into`, [2, c].
void write_moments(const Lane& lane, const at::Tensor& into) {
  const at::Tensor x = lane.x->detach();
  if (!lane.has_kernels()) {
    const auto [mean, var] = at::batch_norm_update_stats(x, {}, {}, 0.0);
    into[0].copy_(mean);
    into[1].copy_(var).mul_(static_cast<double>(x.numel() / x.size(1)));
    return;
  }
  const auto input = channels_last(x);
  const Rows on(input);
  const auto blocks = block_moments(input, on, into.options());
  float* const none = nullptr;
  launch(x.device(), NORM_STATISTICS, on.channel_grid(), Rows::CHANNEL_BLOCK, floats(blocks),
         static_cast<int>(blocks.size(0)), static_cast<long long>(blocks.stride(0)), static_cast<long long>(on.rows),
         on.channels, 0.f, 0.f, floats(into), floats(into) + on.channels, none, none);
}

// Of every lane the moments of all members of a team, [members, 2, c]: one gather for all lanes.
std::vector<at::Tensor> joint_moments(const Team& team, const Lane* lanes, size_t n) {
  const int64_t channels = lanes->x->size(1);
  const auto here = at::empty({1, static_cast<int64_t>(n), 2, channels}, lanes->weight->options().requires_grad(false));
  for (size_t i = 0; i < n; ++i) {
    const at::Tensor &first = *lanes->weight, &other = *lanes[i].weight;
    TORCH_CHECK(other.sizes() == first.sizes() && other.dtype() == first.dtype() && other.device() == first.device(),
                "norms that share a call are alike, not ", first.toString(), first.sizes(), " and ", other.toString(),
                other.sizes());
    write_moments(lanes[i], here[0][static_cast<int64_t>(i)]);
  }
  const auto all = team.gather(here);
  std::vector<at::Tensor> of_lane;
  for (size_t i = 0; i < n; ++i) of_lane.push_back(all.select(1, static_cast<int64_t>(i)));
  return of_lane;
}

// relu(norm(x) + residual) by the batch's statistics; residual and ReLU may be absent. With a team, `moments` are those of
// its members.
struct Norm : torch::autograd::Function<Norm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& residual,
                            const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& running_mean,
                            const at::Tensor& running_var, bool relu, double momentum, double eps, const Team& team,
                            const std::optional<at::Tensor>& moments) {
    const bool fused = norm_has_kernels(x, {weight, bias, running_mean, running_var});
    at::Tensor input, y, mean, invstd;
    if (fused) {
      input = channels_last(x);
      const Rows on(input);
      const auto device = input.device();
      const auto options = weight.options().requires_grad(false);
      mean = at::empty({on.channels}, options);
      invstd = at::empty_like(mean);
      y = at::empty_like(input);
      const at::Tensor added = residual ? channels_last(residual->to(input.scalar_type())) : at::Tensor();
      // The moments of a member's rows take the place of a block's.
      const at::Tensor partial = moments ? *moments : block_moments(input, on, options);
      launch(device, NORM_STATISTICS, on.channel_grid(), Rows::CHANNEL_BLOCK, floats(partial),
             static_cast<int>(partial.size(0)), static_cast<long long>(partial.stride(0)),
             static_cast<long long>(on.rows) * team.count, on.channels, static_cast<float>(momentum),
             static_cast<float>(eps), floats(mean), floats(invstd), floats(running_mean), floats(running_var));
      launch(device, of_type(NORM_APPLY, x), on.grid(Rows::MAPS), on.block, pointer(input), pointer(added),
             floats(mean), floats(invstd), floats(weight), floats(bias), on.rows, on.channels, static_cast<int>(relu),
             pointer(y));
    } else {
      input = x;
      if (moments) {
        const auto n = static_cast<double>(x.numel() / x.size(1));
        std::tie(mean, invstd) = joint_statistics(*moments, n, running_mean, running_var, momentum, eps);
        y = std::get<0>(
            at::native_batch_norm(x, weight, bias, mean, invstd.pow(-2), /*training=*/false, 0.0, /*eps=*/0.0));
      } else {
        std::tie(y, mean, invstd) =
            at::native_batch_norm(x, weight, bias, running_mean, running_var, /*training=*/true, momentum, eps);
      }
      if (residual) y.add_(*residual);
      if (relu) y.relu_();
    }
    // The kernels read the ReLU's mask off y only where a residual was added.
    const bool needs_y = relu && (residual || !fused);
    context->save_for_backward({input, weight, bias, needs_y ? y : at::Tensor(), mean, invstd});
    context->saved_data["fused"] = fused;
    context->saved_data["relu"] = relu;
    context->saved_data["residual"] = residual.has_value();
    context->saved_data["eps"] = eps;
    if (team.group) {
      context->saved_data["group"] = reinterpret_cast<int64_t>(team.group);
      context->saved_data["first"] = team.first;
      context->saved_data["count"] = team.count;
    }
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], &y = saved[3], &mean = saved[4],
                     &invstd = saved[5];
    const bool relu = context->saved_data["relu"].toBool();
    const bool has_residual = context->saved_data["residual"].toBool();
    const Team team = team_of(*context);
    at::Tensor dz, dx, dweight, dbias;
    if (context->saved_data["fused"].toBool()) {
      const Rows on(x);
      const auto device = x.device();
      const at::Tensor dy = channels_last(grads[0].to(x.scalar_type()));
      const bool from_y = y.defined();
      const int recompute = relu && !from_y;
      const Size sums = on.grid(Rows::SUMS);
      const auto partial = at::empty({2, sums.y, on.channels}, mean.options());
      auto both = at::empty({2, on.channels}, mean.options());
      dbias = both[0];
      dweight = both[1];
      dx = at::empty_like(x);
      dz = from_y ? at::empty_like(x) : dy;
      launch(device, of_type(NORM_REDUCE, x), sums, on.block, pointer(dy), pointer(x), pointer(y), floats(mean),
             floats(invstd), floats(weight), floats(bias), on.rows, on.channels, recompute, pointer(dz),
             floats(partial));
      launch(device, NORM_PARAMETERS, on.channel_grid(), Rows::CHANNEL_BLOCK, floats(partial),
             static_cast<int>(sums.y), on.channels, floats(invstd), floats(dweight), floats(dbias));
      // The kernel divides by the rows here.
      if (team.group) both = team.sum(both).mul_(1.0 / static_cast<double>(team.count));
      launch(device, of_type(NORM_INPUT, x), on.grid(Rows::MAPS), on.block, pointer(dz), pointer(x), floats(mean),
             floats(invstd), floats(weight), floats(bias), floats(both) + on.channels, floats(both), on.rows, on.channels,
             recompute, pointer(dx));
    } else if (team.group) {
      dz = relu ? at::threshold_backward(grads[0], y, 0) : grads[0];
      std::tie(dx, dweight, dbias) = team_backward(team, dz, x, weight, mean, invstd);
    } else {
      dz = relu ? at::threshold_backward(grads[0], y, 0) : grads[0];
      std::tie(dx, dweight, dbias) =
          at::native_batch_norm_backward(dz, x, weight, {}, {}, mean, invstd, /*train=*/true,
                                         context->saved_data["eps"].toDouble(), {true, true, true});
    }
    variable_list out(11);
    out[0] = dx;
    if (has_residual) out[1] = dz;
    out[2] = dweight;
    out[3] = dbias;
    return out;
  }
};

}  // namespace

extern "C" {

// out[n] = new tensors, one for each lane: relu(norm(x) + residual) with the batch's statistics, which move the running ones;
// `residual` may be null. Differentiable in x, residual, weight and bias. With a group, the batch is that of its ranks
// `first .. first + count`, which has as many rows on each of them; the group outlives the backward pass.
char* trainer_norms(const Lane* lanes, size_t n, double momentum, double eps, const void* group, int64_t first,
                    int64_t count, at::Tensor** out) {
  return guarded([=] {
    for (size_t i = 0; i < n; ++i) lanes[i].check();
    const Team team{static_cast<const Group*>(group), first, count};
    const auto moments = group ? joint_moments(team, lanes, n) : std::vector<at::Tensor>();
    std::vector<at::Tensor> made;
    for (size_t i = 0; i < n; ++i) {
      const Lane& lane = lanes[i];
      const auto residual = lane.residual ? std::optional<at::Tensor>(*lane.residual) : std::nullopt;
      const auto joint = group ? std::optional<at::Tensor>(moments[i]) : std::nullopt;
      made.push_back(Norm::apply(*lane.x, residual, *lane.weight, *lane.bias, *lane.running_mean, *lane.running_var,
                                 lane.relu != 0, momentum, eps, team, joint));
    }
    for (size_t i = 0; i < n; ++i) out[i] = new at::Tensor(made[i]);
  });
}

}  // extern "C"
