import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';

/**
 * Takes the lock of a store's directory: flock(2) on FILE, held by our open descriptor, so that the kernel releases
 * it however this process ends. Node has no flock call: `flock` of util-linux takes it on the descriptor that it
 * inherits, and since the lock belongs to the open file description it stays ours when that process has ended.
 * Throws an Error that names the process that holds it.
 */
export function takeLock(file: string): { release(): void } {
  const descriptor = openSync(file, 'a+', 0o600);
  const { status, error, stderr } = spawnSync('flock', ['--nonblock', '--conflict-exit-code', '75', '3'], {
    stdio: ['ignore', 'ignore', 'pipe', descriptor],
  });
  if (status !== 0) {
    closeSync(descriptor);
    if (status === 75) throw new Error(`${file} is locked by process ${readFileSync(file, 'utf8').trim()}`);
    throw new Error(`${file} can't be locked: ${error?.message ?? stderr.toString().trim()}`);
  }
  ftruncateSync(descriptor);
  writeSync(descriptor, `${process.pid}\n`);
  return { release: () => closeSync(descriptor) };
}
