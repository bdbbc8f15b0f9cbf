/* BPF_PROG_RUN: a program on one packet, or on live frames. */
#pragma once
#include <napi.h>

/* Runs at once, on this thread. */
Napi::Value RunTest(Napi::Env env, int program, Napi::Value options);
/* Runs on a thread of its own: returns {done: Promise<TestRunResult>, interrupt: () => void}. */
Napi::Value StartTest(Napi::Env env, int program, Napi::Value options);
