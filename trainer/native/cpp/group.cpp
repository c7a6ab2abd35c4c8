// What the processes of a run ask of each other, once joined (join.cpp). The conventions of the C functions at the end are
// those of native.cpp.

#include "group.h"

#include <memory>
#include <stdexcept>
#include <tuple>

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include "guarded.h"

namespace {

using StorePtr = c10::intrusive_ptr<c10d::Store>;
using WorkPtr = c10::intrusive_ptr<c10d::Work>;
using Clock = std::chrono::steady_clock;

// A failure between ranks says so, for whoever has to tell it from this rank's own.
template <typename Call>
auto among_ranks(Call call) {
  try {
    return call();
  } catch (const std::exception& error) {
    const std::string what = error.what();
    throw std::runtime_error("among the ranks: " + what.substr(0, what.find('\n')));
  }
}

template <typename Options>
Options in_order(Millis timeout) {
  Options options;
  options.timeout = timeout;
  options.asyncOp = false;
  return options;
}

}  // namespace

// Counts and times a collective on x. `call` gives its work, which may be null on a GPU: there the collective runs on the
// current stream (`asyncOp = false`), and nobody waits.
template <typename Call>
void Group::run(Collective kind, const at::Tensor& x, Call call) const {
  calls_[kind] += 1;
  bytes_[kind] += static_cast<int64_t>(x.nbytes());
  const c10::DeviceGuard guard(x.device());
  timed(x, [&] {
    among_ranks([&] {
      if (const WorkPtr work = call(x.is_cpu() ? *control : *data)) work->wait();
    });
  });
}

// Times what waits for a collective on x: on the host, or between two marks on the device's stream.
template <typename Wait>
void Group::timed(const at::Tensor& x, Wait wait) const {
  if (x.is_cpu()) {
    const auto begin = Clock::now();
    wait();
    nanos_ += std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count();
    return;
  }
  const auto mark = [&x] {
    c10::Event event(x.device().type(), c10::EventFlag::BACKEND_DEFAULT);
    event.record(c10::impl::VirtualGuardImpl(x.device().type()).getStream(x.device()));
    return event;
  };
  if (!timed_) return wait();
  auto before = mark();
  wait();
  auto after = mark();
  const std::lock_guard<std::mutex> lock(marks_lock_);
  marks_.emplace_back(std::move(before), std::move(after));
}

double Group::take_seconds() const {
  double seconds = 1e-9 * static_cast<double>(nanos_.exchange(0));
  const std::lock_guard<std::mutex> lock(marks_lock_);
  for (auto& [before, after] : marks_) {
    after.synchronize();
    seconds += 1e-3 * before.elapsedTime(after);
  }
  marks_.clear();
  return seconds;
}

void Group::all_reduce(const at::Tensor& x, c10d::ReduceOp::RedOpType op) const {
  std::vector<at::Tensor> xs{x};
  auto options = in_order<c10d::AllreduceOptions>(timeout);
  options.reduceOp = op;
  run(REDUCE, x, [&](c10d::Backend& backend) { return backend.allreduce(xs, options); });
}

WorkPtr Group::start_all_reduce(const at::Tensor& x) const {
  calls_[REDUCE] += 1;
  bytes_[REDUCE] += static_cast<int64_t>(x.nbytes());
  std::vector<at::Tensor> xs{x};
  c10d::AllreduceOptions options;
  options.timeout = timeout;
  return among_ranks([&] { return (x.is_cpu() ? control : data)->allreduce(xs, options); });
}

void Group::finish(const at::Tensor& x, const WorkPtr& work) const {
  timed(x, [&] { among_ranks([&] { work->wait(); }); });
}

void Group::broadcast(const at::Tensor& x) const {
  std::vector<at::Tensor> xs{x};
  auto options = in_order<c10d::BroadcastOptions>(timeout);
  options.rootRank = 0;
  run(BROADCAST, x, [&](c10d::Backend& backend) { return backend.broadcast(xs, options); });
}

at::Tensor Group::all_gather(const at::Tensor& x) const {
  auto mine = x.contiguous();
  auto sizes = mine.sizes().vec();
  TORCH_CHECK(!sizes.empty(), "a scalar has no axis to gather along");
  sizes[0] *= size();
  auto out = at::empty(sizes, mine.options().requires_grad(false));
  auto options = in_order<c10d::AllgatherOptions>(timeout);
  run(GATHER, mine, [&](c10d::Backend& backend) { return backend._allgather_base(out, mine, options); });
  return out;
}

at::Tensor Group::exchange(const at::Tensor& x, std::vector<int64_t> receive, std::vector<int64_t> send) const {
  auto mine = x.contiguous();
  auto sizes = mine.sizes().vec();
  sizes[0] = 0;
  for (const int64_t rows : receive) sizes[0] += rows;
  auto out = at::empty(sizes, mine.options().requires_grad(false));
  auto options = in_order<c10d::AllToAllOptions>(timeout);
  run(EXCHANGE, mine, [&](c10d::Backend& backend) { return backend.alltoall_base(out, mine, receive, send, options); });
  return out;
}

WorkPtr Group::start_host_max(std::vector<at::Tensor>& x) const {
  c10d::AllreduceOptions options;
  options.reduceOp = c10d::ReduceOp::MAX;
  options.timeout = timeout;
  return among_ranks([&] { return control->allreduce(x, options); });
}

void Group::barrier(Millis within) const {
  c10d::BarrierOptions options;
  options.timeout = within;
  among_ranks([&] { control->monitoredBarrier(options, /*waitAllRanks=*/true); });
}

void Group::leave() const {
  barrier(timeout);
  if (data != control) data->shutdown();
  // Only then may rank 0 go, and the store with it, which NCCL's watchdog asks for other ranks' troubles.
  barrier(timeout);
}

// ---------------------------------------------------------------- for Rust

namespace {

const Group& group_of(const void* group) { return *static_cast<const Group*>(group); }

// A question to all ranks whose answer is read later.
struct Question {
  std::vector<at::Tensor> value;
  WorkPtr work;
};

}  // namespace

extern "C" {

// *out = a new store for the ranks of one process, which trainer_store_free ends.
char* trainer_store_local(void** out) {
  return guarded([=] { *out = new StorePtr(c10::make_intrusive<c10d::HashStore>()); });
}

void trainer_store_free(void* store) { delete static_cast<StorePtr*>(store); }

// *out = a new group. It is never freed: after a failure its threads may be stuck, and a destructor would wait for them.
char* trainer_group_join(int rank, int size, const char* address, int port, int agent_store, int gpu, int64_t join_ms,
                         int64_t timeout_ms, void** out) {
  return guarded([=] {
    const Place place{rank, size, address, static_cast<uint16_t>(port), agent_store != 0};
    *out = Group::join(place, gpu, Millis(join_ms), Millis(timeout_ms));
  });
}

char* trainer_group_join_local(void* store, int rank, int size, int gpu, int64_t timeout_ms, void** out) {
  return guarded(
      [=] { *out = Group::join_local(*static_cast<StorePtr*>(store), rank, size, gpu, Millis(timeout_ms)); });
}

char* trainer_group_sum(const void* group, at::Tensor* x) {
  return guarded([=] { group_of(group).all_reduce(*x); });
}

char* trainer_group_max(const void* group, at::Tensor* x) {
  return guarded([=] { group_of(group).all_reduce(*x, c10d::ReduceOp::MAX); });
}

char* trainer_group_broadcast(const void* group, at::Tensor* x) {
  return guarded([=] { group_of(group).broadcast(*x); });
}

char* trainer_group_gather(const void* group, at::Tensor* x, at::Tensor** out) {
  return guarded([=] { *out = new at::Tensor(group_of(group).all_gather(*x)); });
}

// `receive` and `send` hold a number of rows for each rank.
char* trainer_group_exchange(const void* group, at::Tensor* x, const int64_t* receive, const int64_t* send,
                             at::Tensor** out) {
  return guarded([=] {
    const auto& of = group_of(group);
    *out = new at::Tensor(of.exchange(*x, {receive, receive + of.size()}, {send, send + of.size()}));
  });
}

// *out = a question: the largest `value` of all ranks. trainer_group_answer ends it.
char* trainer_group_ask(const void* group, int64_t value, void** out) {
  return guarded([=] {
    auto question = std::make_unique<Question>();
    question->value = {at::full({1}, value, at::kLong)};
    question->work = group_of(group).start_host_max(question->value);
    *out = question.release();
  });
}

char* trainer_group_answer(void* question, int64_t* answer) {
  return guarded([=] {
    const std::unique_ptr<Question> asked(static_cast<Question*>(question));
    among_ranks([&] { asked->work->wait(); });
    *answer = *asked->value[0].const_data_ptr<int64_t>();
  });
}

char* trainer_group_leave(const void* group) {
  return guarded([=] { group_of(group).leave(); });
}

// calls[4] and bytes[4] so far: sums, gathers, broadcasts, exchanges.
void trainer_group_counted(const void* group, int64_t* calls, int64_t* bytes) {
  for (int kind = 0; kind < NUM_COLLECTIVES; ++kind) {
    std::tie(calls[kind], bytes[kind]) = group_of(group).counted(static_cast<Collective>(kind));
  }
}

void trainer_group_time(const void* group, int on) { group_of(group).time(on != 0); }

char* trainer_group_take_seconds(const void* group, double* seconds) {
  return guarded([=] { *seconds = group_of(group).take_seconds(); });
}

char* trainer_group_set(const void* group, const char* key, const char* value) {
  return guarded([=] { among_ranks([=] { group_of(group).store->set(key, std::string(value)); }); });
}

// *value = a copy of what is stored under the key, to be freed with trainer_free_message; null if there is nothing.
char* trainer_group_get(const void* group, const char* key, char** value) {
  return guarded([=] {
    const auto& store = group_of(group).store;
    *value = among_ranks([=] { return store->check({key}) ? message(store->get_to_str(key)) : nullptr; });
  });
}

}  // extern "C"
