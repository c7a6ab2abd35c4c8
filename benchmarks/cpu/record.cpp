// Records every operation of libtorch with its own CPU time, that of the operations inside it taken away.
//
// Preloaded into a program of one thread (LD_PRELOAD, OMP_NUM_THREADS=1), it writes one line for each, in the order in
// which they began, to the file RECORD_TO when the program ends: name, tab, microseconds. CPU time, unlike the clock of
// a trace, is hardly longer when other programs want the same core.

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include <ATen/record_function.h>

namespace {

struct Operation {
  std::string name;
  double own_us;
};

// Never destroyed: written when the program ends, behind other destructors.
auto& operations = *new std::vector<Operation>;

struct Running : at::ObserverContext {
  size_t ix;
  Running* around;
  double began_us;
  double inside_us = 0;
};

thread_local Running* innermost = nullptr;

double cpu_us() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e6 * now.tv_sec + 1e-3 * now.tv_nsec;
}

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
  auto running = std::make_unique<Running>();
  running->ix = operations.size();
  running->around = innermost;
  operations.push_back({function.name(), 0});
  innermost = running.get();
  running->began_us = cpu_us();
  return running;
}

void end(const at::RecordFunction&, at::ObserverContext* context) {
  auto* running = static_cast<Running*>(context);
  const double took_us = cpu_us() - running->began_us;
  operations[running->ix].own_us = took_us - running->inside_us;
  innermost = running->around;
  if (innermost) innermost->inside_us += took_us;
}

void write() {
  FILE* file = std::fopen(std::getenv("RECORD_TO"), "w");
  if (!file) return;
  for (const auto& [name, own_us] : operations) std::fprintf(file, "%s\t%.2f\n", name.c_str(), own_us);
  std::fclose(file);
}

__attribute__((constructor)) void start() {
  if (!std::getenv("RECORD_TO")) return;
  at::addGlobalCallback(at::RecordFunctionCallback(begin, end).scopes(
      {at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION, at::RecordScope::USER_SCOPE}));
  std::atexit(write);
}

}  // namespace
