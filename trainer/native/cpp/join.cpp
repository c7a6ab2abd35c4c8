// How the processes of a run find each other: store, attempt, Gloo and NCCL.

#include "group.h"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <random>
#include <thread>

#include <ATen/ops/full.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <c10/util/Logging.h>
#include <c10/util/env.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupWrapper.hpp>

namespace {

using StorePtr = c10::intrusive_ptr<c10d::Store>;
using BackendPtr = c10::intrusive_ptr<c10d::Backend>;
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

// Turns off c10d's record of collectives, which all groups of a process share: 2.11 adds a group to its map of groups before
// it takes the lock (FlightRecorder::recordWithResetEnabled), so two threads' first collectives tear the map. Ranks that are
// processes use their groups from one thread at a time, and keep the record.
void stop_recording() {
  static const bool once = [] {
    c10::utils::set_env("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/true);
    return true;
  }();
  (void)once;
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
  stop_recording();
  Place place;
  place.rank = rank;
  place.size = size;
  auto group = std::unique_ptr<Group>(new Group(place, timeout));
  group->store = store;
  group->control = join_gloo(store, place, timeout);
  group->data = join_data(store, place, gpu, group->control, timeout);
  return group.release();
}
