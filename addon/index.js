/** Loads the native addon and gives its long calls the shape that JavaScript expects. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** `Release`, or another folder of addon/build: the sanitizers' build is `asan`. */
const build = process.env.FISTPATH_ADDON_BUILD ?? 'Release';
const path = fileURLToPath(new URL(`./build/${build}/fistpath.node`, import.meta.url));

function load() {
  try {
    return createRequire(import.meta.url)(path);
  } catch (cause) {
    const missing = cause.code === 'MODULE_NOT_FOUND';
    throw new Error(
      missing
        ? `the native addon is not built (no ${path}): run \`npm run build:addon\``
        : `the native addon cannot be loaded: ${cause.message}; rebuild it with \`make -C addon clean all\``,
      { cause },
    );
  }
}

const native = load();

export const {
  BpfObject,
  BpfProgram,
  BpfMap,
  BpfLink,
  RingBuffer,
  inNamespace,
  devicesIn,
  xdpFeatures,
  detachTc,
  queryTc,
  possibleCpus,
  libbpfVersion,
} = native;

function abortError(signal) {
  const error = new Error('The operation was aborted', { cause: signal.reason });
  error.name = 'AbortError';
  error.code = 'ABORT_ERR';
  return error;
}

BpfProgram.prototype.testRunAsync = async function testRunAsync(options, signal) {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError('signal must be an AbortSignal');
  }
  if (signal?.aborted) throw abortError(signal);
  const run = native.startTestRun(this, options);
  signal?.addEventListener('abort', run.interrupt, { once: true });
  try {
    return await run.done;
  } catch (error) {
    if (signal?.aborted && error.code === 'EINTR') throw abortError(signal);
    throw error;
  } finally {
    signal?.removeEventListener('abort', run.interrupt);
  }
};
