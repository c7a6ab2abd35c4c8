// Joining the processes of a run, and what they ask of each other. The conventions of the C functions at the end are
// those of native.cpp.

#include "group.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <c10/util/Logging.h>
#include <c10/util/env.h>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupWrapper.hpp>

#include "guarded.h"

namespace {

using StorePtr = c10::intrusive_ptr<c10d::Store>;
using BackendPtr = c10::intrusive_ptr<c10d::Backend>;
using WorkPtr = c10::intrusive_ptr<c10d::Work>;
using Clock = std::chrono::steady_clock;

std::string random_name() {
  std::random_device device;
  return std::to_string((uint64_t(device()) << 32) | device());
}

// ---------------------------------------------------------------- the store

StorePtr connect(const Place& place, Millis timeout) {
  c10d::TCPStoreOptions options;
  options.port = place.port;
  options.isServer = place.rank == 0 && !place.agent_store;
  options.waitWorkers = false;  // `attempt` waits, and says for whom
  options.multiTenant = true;
  options.timeout = timeout;
  return c10::make_intrusive<c10d::TCPStore>(place.address, options);
}

// A part of the store that belongs to this attempt alone.
//
// An agent's store outlives the attempts, and what the last one left in it (addresses, NCCL's id) leads the next astray.
// TORCHELASTIC_RESTART_COUNT does not tell them apart: every node counts its own. So rank 0 draws a name, the others
// answer with a token each, and an attempt is the name whose list of tokens holds mine.
StorePtr attempt(const StorePtr& store, const Place& place, Millis timeout) {
  const auto deadline = Clock::now() + timeout;
  const auto answer = [](const std::string& name, int rank) { return "attempt/" + name + "/" + std::to_string(rank); };
  const auto all = [](const std::string& name) { return "attempt/" + name + "/all"; };
  if (place.rank == 0) {
    const std::string name = random_name();
    store->set("attempt", name);
    std::string tokens;
    for (int rank = 1; rank < place.size; ++rank) {
      const auto left = std::chrono::duration_cast<Millis>(deadline - Clock::now());
      try {
        store->wait({answer(name, rank)}, std::max(left, Millis(1)));
      } catch (const c10::Error&) {
        TORCH_CHECK(false, "rank ", rank, " of ", place.size, " did not join within ", timeout.count() / 1000, " s");
      }
      tokens += " " + store->get_to_str(answer(name, rank)) + " ";
    }
    store->set(all(name), tokens + ".");
    return c10::make_intrusive<c10d::PrefixStore>("attempt/" + name, store);
  }
  const std::string token = random_name();
  std::string answered;
  while (Clock::now() < deadline) {
    if (store->check({"attempt"})) {
      const std::string name = store->get_to_str("attempt");
      if (name != answered) store->set(answer(name, place.rank), token);
      answered = name;
      if (store->check({all(name)}) && store->get_to_str(all(name)).find(" " + token + " ") != std::string::npos) {
        return c10::make_intrusive<c10d::PrefixStore>("attempt/" + name, store);
      }
    }
    std::this_thread::sleep_for(Millis(20));
  }
  TORCH_CHECK(false, "the ", place.size, " processes did not all join within ", timeout.count() / 1000, " s");
}

// ---------------------------------------------------------------- backends

BackendPtr join_gloo(const StorePtr& store, const Place& place, Millis timeout) {
  // Listens on GLOO_SOCKET_IFNAME if that is set, else where this machine's name leads, else on the loopback.
  const auto options = c10d::ProcessGroupGloo::Options::create_default(timeout);
  const StorePtr keys = c10::make_intrusive<c10d::PrefixStore>("gloo", store);
  return c10::make_intrusive<c10d::ProcessGroupGloo>(keys, place.rank, place.size, options);
}

// Memory for an object that libtorch_cuda constructs, of a class whose header needs some of CUDA's that no wheel of torch's
// brings along. 1112 and 248 bytes in 2.11.0; given back by the object's own deleting destructor.
void* room() { return ::operator new(8192); }

template <typename T>
c10::intrusive_ptr<T> adopt(void* made) {
  return c10::intrusive_ptr<T>::unsafe_steal_from_new(static_cast<T*>(made));
}

// ProcessGroupNCCL by the names of its constructors, which libtorch_cuda exports.
BackendPtr join_nccl(const StorePtr& store, const Place& place, int gpu, Millis timeout) {
  using Options = c10d::Backend::Options;
  using OptionsPtr = c10::intrusive_ptr<Options>;
  void* library = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
  TORCH_CHECK(library, "this libtorch has no CUDA library that loads: ", dlerror());
  const auto find = [library](const char* name) {
    void* found = dlsym(library, name);
    TORCH_CHECK(found, "this libtorch has no NCCL, or another than 2.11's: ", name);
    return found;
  };
  // Objects that are passed by value go as addresses when they have a destructor, whatever they point to.
  const auto make_options =
      reinterpret_cast<void (*)(void*, bool)>(find("_ZN4c10d16ProcessGroupNCCL7OptionsC1Eb"));
  const auto make_group = reinterpret_cast<void (*)(void*, StorePtr, int, int, OptionsPtr)>(
      find("_ZN4c10d16ProcessGroupNCCLC1EN3c1013intrusive_ptrINS_5StoreENS1_6detail34intrusive_target_default_null_typeIS3_"
           "EEEEiiNS2_INS0_7OptionsENS5_IS8_EEEE"));
  void* made = room();
  make_options(made, /*is_high_priority_stream=*/true);
  const OptionsPtr options = adopt<Options>(made);
  options->timeout = timeout;
  options->group_name = "data";
  options->group_desc = "data";
  for (int rank = 0; rank < place.size; ++rank) options->global_ranks_in_group.push_back(rank);
  const StorePtr keys = c10::make_intrusive<c10d::PrefixStore>("nccl", store);
  const c10::Device device(c10::kCUDA, static_cast<c10::DeviceIndex>(gpu));
  // Or everything that asks for "the current GPU" opens a context on the first one, in every process.
  c10::impl::VirtualGuardImpl(c10::kCUDA).setDevice(device);
  void* memory = room();
  try {
    make_group(memory, keys, place.rank, place.size, options);
  } catch (...) {
    ::operator delete(memory);
    throw;
  }
  return adopt<c10d::Backend>(memory);
}

// What a rank is about to use, for all to agree on.
enum Readiness : int64_t { FAILED = 0, ON_CPU = 1, ON_GPU = 2 };

// The smallest and the largest value of all ranks.
std::pair<int64_t, int64_t> bounds(const BackendPtr& control, int64_t value, Millis timeout) {
  std::vector<at::Tensor> x{at::full({2}, value, at::kLong)};
  x[0][0].neg_();
  c10d::AllreduceOptions options;
  options.reduceOp = c10d::ReduceOp::MAX;
  options.timeout = timeout;
  control->allreduce(x, options)->wait();
  const auto* found = x[0].const_data_ptr<int64_t>();
  return {-found[0], found[1]};
}

// NCCL for a GPU, Gloo without. No watchdog covers the connecting of NCCL, which waits for all without a limit: so all say
// first that they are ready for it.
BackendPtr join_data(const StorePtr& store, const Place& place, int gpu, const BackendPtr& control, Millis timeout) {
  BackendPtr data = control;
  std::exception_ptr failure;
  try {
    // A dead peer is noticed on the host first, which can say so; NCCL's watchdog just ends the process.
    if (gpu >= 0) data = join_nccl(store, place, gpu, 2 * timeout);
  } catch (...) {
    failure = std::current_exception();
  }
  const auto [least, most] = bounds(control, failure ? FAILED : gpu < 0 ? ON_CPU : ON_GPU, timeout);
  if (failure) std::rethrow_exception(failure);
  TORCH_CHECK(least != FAILED, "among the ranks: another rank could not use its GPU");
  TORCH_CHECK(least == most, "this rank is on ", gpu < 0 ? "a CPU" : "a GPU", ", others are not: give all the same --device");
  if (gpu >= 0) data->eagerConnectSingleDevice(c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(gpu)));
  return data;
}

// Compares what the ranks are about to do before each collective; without it a mismatch hangs, or gives wrong numbers.
bool wants_checks() {
  const char* level = std::getenv("TORCH_DISTRIBUTED_DEBUG");
  return level && std::strcmp(level, "DETAIL") == 0;
}

BackendPtr checked(const BackendPtr& backend, const BackendPtr& control) {
  return c10::make_intrusive<c10d::ProcessGroupWrapper>(backend, control);
}

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

// c10d warns of names that it cannot look up, on every rank. Whoever wants to read that sets the level; nobody reads it
// before `initLogging`.
void start_logging() {
  static const bool once = [] {
    c10::utils::set_env("TORCH_CPP_LOG_LEVEL", "ERROR", /*overwrite=*/false);
    c10::initLogging();
    return true;
  }();
  (void)once;
}

template <typename Options>
Options in_order(Millis timeout) {
  Options options;
  options.timeout = timeout;
  options.asyncOp = false;
  return options;
}

}  // namespace

Group* Group::join(const Place& place, int gpu, Millis join_timeout, Millis timeout) {
  start_logging();
  auto group = std::unique_ptr<Group>(new Group(place, timeout));
  group->store = attempt(connect(place, join_timeout), place, join_timeout);
  group->control = join_gloo(group->store, place, timeout);
  group->data = join_data(group->store, place, gpu, group->control, timeout);
  if (wants_checks()) {
    const auto control = join_gloo(c10::make_intrusive<c10d::PrefixStore>("checks", group->store), place, timeout);
    const bool one = group->data == group->control;
    group->control = checked(group->control, control);
    group->data = one ? group->control : checked(group->data, control);
  }
  return group.release();
}

Group* Group::join_local(const StorePtr& store, int rank, int size, int gpu, Millis timeout) {
  Place place;
  place.rank = rank;
  place.size = size;
  auto group = std::unique_ptr<Group>(new Group(place, timeout));
  group->store = store;
  group->control = join_gloo(store, place, timeout);
  group->data = join_data(store, place, gpu, group->control, timeout);
  return group.release();
}

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
