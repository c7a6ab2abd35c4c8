// How the native files report errors: no exception crosses into Rust.

#pragma once

#include <cstring>
#include <exception>
#include <string>

// A copy that the caller frees with `trainer_free_message`.
inline char* message(const std::string& text) { return strdup(text.c_str()); }

// Runs `body`; an exception becomes a message, null is success.
template <typename Body>
char* guarded(Body body) {
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    return message(error.what());
  } catch (...) {
    return message("unknown C++ exception");
  }
}
