// The mean of the gradients over all processes: one flat buffer behind the last backward pass of a step, or buckets that
// set out during it. Conventions as in native.cpp.
//
// Buckets are fixed: they hold the parameters from the last to the first, whatever order the gradients come in. So a
// resumed run adds in the order of one that never stopped, which `c10d::Reducer` does not.

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include "group.h"
#include "guarded.h"

namespace {

class Gradients : public std::enable_shared_from_this<Gradients> {
 public:
  // `others` are averaged with the gradients. Buckets of about `bucket_bytes` set out as soon as they are full; 0 makes one
  // buffer for all.
  Gradients(const Group& group, std::vector<at::Tensor> params, std::vector<at::Tensor> others, int64_t bucket_bytes)
      : group_(group), params_(std::move(params)), others_(std::move(others)) {
    place_.resize(params_.size());
    for (size_t at = params_.size(); at-- > 0;) {
      const bool is_full = bucket_bytes > 0 && !buckets_.empty() && buckets_.back().bytes >= bucket_bytes;
      if (buckets_.empty() || is_full) buckets_.emplace_back();
      auto& bucket = buckets_.back();
      place_[at] = {buckets_.size() - 1, bucket.members.size()};
      bucket.members.push_back(at);
      bucket.bytes += static_cast<int64_t>(params_[at].nbytes());
    }
    for (size_t ix = 0; ix < buckets_.size(); ++ix) lay_out(buckets_[ix], ix + 1 == buckets_.size());
  }

  // From now on buckets may set out during a backward pass.
  void hook() {
    for (size_t at = 0; at < params_.size(); ++at) {
      // A tensor knows its accumulator weakly, so it has to be kept, or the hook is gone.
      auto node = torch::autograd::impl::grad_accumulator(params_[at]);
      node->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
          [weak = weak_from_this(), at](const torch::autograd::variable_list& out,
                                        const torch::autograd::variable_list&) {
            const auto self = weak.lock();
            if (self && self->armed_) self->ready(at);
            return out;
          }));
      accumulators_.push_back(std::move(node));
    }
  }

  // Before the last backward pass of a step, where buckets set out during it.
  void arm() {
    if (accumulators_.empty()) return;
    armed_ = true;
    next_ = 0;
    for (auto& bucket : buckets_) bucket.missing = bucket.members.size();
  }

  // Behind it: gradients and the others are the means of all ranks.
  void finish() {
    const at::NoGradGuard no_grad;
    if (!armed_) next_ = 0;
    const size_t full = next_;
    armed_ = false;
    for (size_t ix = full; ix < buckets_.size(); ++ix) {
      if (ix + 1 == buckets_.size() && !others_.empty()) at::_foreach_copy_(other_views_, others_);
      fill(buckets_[ix]);
      if (accumulators_.empty()) group_.all_reduce(buckets_[ix].flat);
      else buckets_[ix].work = group_.start_all_reduce(buckets_[ix].flat);
    }
    for (auto& bucket : buckets_) {
      if (bucket.work) group_.finish(bucket.flat, bucket.work), bucket.work.reset();
      bucket.flat.mul_(1.0 / group_.size());
      std::vector<at::Tensor> to, from;
      for (size_t ix = 0; ix < bucket.members.size(); ++ix) {
        const auto& grad = params_[bucket.members[ix]].grad();
        if (grad.defined()) to.push_back(grad), from.push_back(bucket.views[ix]);
      }
      if (!to.empty()) at::_foreach_copy_(to, from);
    }
    if (!others_.empty()) at::_foreach_copy_(others_, other_views_);
  }

 private:
  struct Bucket {
    std::vector<size_t> members;
    int64_t bytes = 0;
    at::Tensor flat;
    // Of the members, laid out in memory as these are, so that copies are of whole blocks.
    std::vector<at::Tensor> views;
    size_t missing = 0;
    c10::intrusive_ptr<c10d::Work> work;
  };

  void lay_out(Bucket& bucket, bool is_last) {
    int64_t numel = 0;
    for (const size_t at : bucket.members) numel += params_[at].numel();
    for (const auto& other : others_) numel += is_last ? other.numel() : 0;
    bucket.flat = at::empty({numel}, params_[0].options().requires_grad(false));
    int64_t begin = 0;
    const auto view = [&](const at::Tensor& like) {
      TORCH_CHECK(like.is_non_overlapping_and_dense() && like.dtype() == bucket.flat.dtype(),
                  "what is averaged over ranks lies densely in memory, and is of one type");
      const auto made = bucket.flat.as_strided(like.sizes(), like.strides(), begin);
      begin += like.numel();
      return made;
    };
    for (const size_t at : bucket.members) bucket.views.push_back(view(params_[at]));
    if (is_last) for (const auto& other : others_) other_views_.push_back(view(other));
  }

  // A parameter without a gradient counts as zero.
  void fill(const Bucket& bucket) const {
    std::vector<at::Tensor> to, from;
    for (size_t ix = 0; ix < bucket.members.size(); ++ix) {
      const auto& grad = params_[bucket.members[ix]].grad();
      if (grad.defined()) to.push_back(bucket.views[ix]), from.push_back(grad);
      else bucket.views[ix].zero_();
    }
    if (!to.empty()) at::_foreach_copy_(to, from);
  }

  // The last bucket waits for `finish`: it holds the others too.
  void ready(size_t at) {
    const at::NoGradGuard no_grad;
    --buckets_[place_[at].first].missing;
    while (next_ + 1 < buckets_.size() && buckets_[next_].missing == 0) {
      auto& bucket = buckets_[next_++];
      fill(bucket);
      bucket.work = group_.start_all_reduce(bucket.flat);
    }
  }

  const Group& group_;
  const std::vector<at::Tensor> params_, others_;
  std::vector<at::Tensor> other_views_;
  std::vector<std::pair<size_t, size_t>> place_;
  std::vector<Bucket> buckets_;
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators_;
  size_t next_ = 0;
  bool armed_ = false;
};

std::vector<at::Tensor> list(at::Tensor* const* tensors, size_t n) {
  std::vector<at::Tensor> out;
  for (size_t i = 0; i < n; ++i) out.push_back(*tensors[i]);
  return out;
}

// Hooks know it weakly: they may outlive it in a graph.
using Shared = std::shared_ptr<Gradients>;

}  // namespace

extern "C" {

// *out = what averages the gradients of `params`, and the `others`, over a group that outlives it;
// trainer_gradients_free ends it.
char* trainer_gradients_new(const void* group, at::Tensor* const* params, size_t n, at::Tensor* const* others, size_t m,
                            int64_t bucket_bytes, void** out) {
  return guarded([=] {
    auto made = std::make_shared<Gradients>(*static_cast<const Group*>(group), list(params, n), list(others, m),
                                            bucket_bytes);
    if (bucket_bytes > 0) made->hook();
    *out = new Shared(std::move(made));
  });
}

char* trainer_gradients_arm(void* gradients) {
  return guarded([=] { (*static_cast<Shared*>(gradients))->arm(); });
}

char* trainer_gradients_finish(void* gradients) {
  return guarded([=] { (*static_cast<Shared*>(gradients))->finish(); });
}

void trainer_gradients_free(void* gradients) { delete static_cast<Shared*>(gradients); }

}  // extern "C"
