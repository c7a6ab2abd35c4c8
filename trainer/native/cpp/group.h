// The processes of one run, joined by PyTorch's c10d: Gloo for host tensors, NCCL for those of a GPU.
//
// After `join`, everything goes through c10d's virtual classes. So a program that is linked against libtorch_cpu alone
// uses NCCL where libtorch_cuda is to be had, and starts where it is not.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

using Millis = std::chrono::milliseconds;

// Which of how many a process is, and where rank 0 is to be met.
struct Place {
  int rank = 0, size = 1;
  std::string address;
  uint16_t port = 0;
  // torchrun's agent keeps the store, longer than one attempt lasts; otherwise rank 0 does.
  bool agent_store = false;
};

// What is asked of the group, for the counters.
enum Collective { REDUCE = 0, GATHER = 1, BROADCAST = 2, EXCHANGE = 3, NUM_COLLECTIVES = 4 };

class Group {
 public:
  // Joins the others; throws if they are not all there in time. With a GPU's ordinal, `data` is NCCL, else Gloo.
  static Group* join(const Place& place, int gpu, Millis join_timeout, Millis timeout);
  // A rank of several in one process, which share a store.
  static Group* join_local(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size, int gpu, Millis timeout);

  const Place place;
  const Millis timeout;
  c10::intrusive_ptr<c10d::Store> store;
  // Host tensors: flags, bytes, barriers.
  c10::intrusive_ptr<c10d::Backend> control;
  // Tensors of the training device.
  c10::intrusive_ptr<c10d::Backend> data;

  int size() const { return place.size; }
  int rank() const { return place.rank; }

  // On tensors of the training device: asynchronous on a GPU, where what follows on the current stream is in order by
  // itself; on the CPU these wait.
  void all_reduce(const at::Tensor& x, c10d::ReduceOp::RedOpType op = c10d::ReduceOp::SUM) const;
  // Begun here; `finish` ends it.
  c10::intrusive_ptr<c10d::Work> start_all_reduce(const at::Tensor& x) const;
  void finish(const at::Tensor& x, const c10::intrusive_ptr<c10d::Work>& work) const;
  void broadcast(const at::Tensor& x) const;
  // [n, ..] of every rank, one after the other: [size n, ..].
  at::Tensor all_gather(const at::Tensor& x) const;
  // Rows for every rank, one rank's after the other's, to the rows that every rank has for this one.
  at::Tensor exchange(const at::Tensor& x, std::vector<int64_t> receive, std::vector<int64_t> send) const;

  // On host tensors.
  c10::intrusive_ptr<c10d::Work> start_host_max(std::vector<at::Tensor>& x) const;
  // Throws after `within`, and names those who did not come (on rank 0).
  void barrier(Millis within) const;
  // Ends a run that went well: nobody leaves before all are here.
  void leave() const;

  // Calls and bytes (of this rank's tensors) so far, by kind of collective.
  std::pair<int64_t, int64_t> counted(Collective kind) const { return {calls_[kind], bytes_[kind]}; }
  // From now on collectives on a GPU are timed too; those on the CPU always are.
  void time(bool on) const { timed_ = on; }
  // Seconds in collectives since this was last asked. Waits for the device.
  double take_seconds() const;

 private:
  Group(Place place, Millis timeout) : place(std::move(place)), timeout(timeout) {}
  template <typename Call>
  void run(Collective kind, const at::Tensor& x, Call call) const;
  template <typename Wait>
  void timed(const at::Tensor& x, Wait wait) const;

  mutable std::atomic<int64_t> calls_[NUM_COLLECTIVES]{}, bytes_[NUM_COLLECTIVES]{}, nanos_{0};
  mutable std::atomic<bool> timed_{false};
  mutable std::mutex marks_lock_;
  mutable std::vector<std::pair<c10::Event, c10::Event>> marks_;
};

// Ranks `first .. first + count` of a group, to which this process belongs; no group: this process alone.
struct Team {
  const Group* group = nullptr;
  int64_t first = 0, count = 1;

  bool is_whole() const { return group && count == group->size(); }
  // [1, ..] of every member: [count, ..].
  at::Tensor gather(const at::Tensor& mine) const {
    const auto all = group->all_gather(mine);
    return is_whole() ? all : all.narrow(0, first, count);
  }
  // Sum over the members.
  at::Tensor sum(const at::Tensor& mine) const {
    if (!is_whole()) return gather(mine.unsqueeze(0)).sum(0);
    const auto total = mine.clone();
    group->all_reduce(total);
    return total;
  }
};
