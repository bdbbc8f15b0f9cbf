/**
 * A test run looks devices up in the caller's network namespace, so it happens in a child process with a namespace of
 * its own: nothing to clean up afterwards, nothing of the machine's touched.
 */
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DEVICE_BASE, DEVICES, MAC } from './places.ts';

/**
 * Runs a script of this folder in new network and mount namespaces, with the request as JSON on its standard input,
 * and resolves to the JSON it prints. Rejects with its error output when it fails or takes more than `seconds`.
 */
export function inChild<T>(script: string, request: unknown, seconds: number): Promise<T> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const command = ['-n', '-m', process.execPath, '--import', 'tsx', path];
  const child = spawn('unshare', command, { timeout: seconds * 1000 });
  child.stdin.end(JSON.stringify(request));
  return new Promise((resolve, reject) => {
    let [output, errors] = ['', ''];
    child.stdout.on('data', (text) => {
      output += text;
    });
    child.stderr.on('data', (text) => {
      errors += text;
    });
    child.on('error', reject);
    child.on('close', (status, signal) => {
      if (status === 0) resolve(JSON.parse(output) as T);
      else reject(new Error(`${script} ended with ${signal ?? status}:\n${errors}${output}`));
    });
  });
}

/** In the child: runs `ip` commands. */
export function ip(lines: string[]): void {
  execFileSync('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` });
}

/**
 * In the child: the devices of the test world, bridges without ports, since test runs only need them to exist;
 * all but the one with ifindex `except`.
 */
export function createDevices(except = 0): void {
  const all = Object.values(DEVICES).filter((ifindex) => ifindex !== except);
  ip(
    all.map(
      (ifindex) =>
        `link add name d${ifindex - DEVICE_BASE} index ${ifindex} ${addressOf(ifindex)} type bridge`,
    ),
  );
}

/** The underlay takes only what is sent to its own MAC. */
function addressOf(ifindex: number): string {
  return ifindex === DEVICES.unknown ? `address ${MAC.underlay.match(/../g)!.join(':')}` : '';
}

/** In the child: a veth pair, the first end with this ifindex; both up and silent. */
export function createVeth(name: string, far: string, ifindex: number, mtu: number): void {
  const lines = [
    `link add name ${name} index ${ifindex} ${addressOf(ifindex)} mtu ${mtu} type veth peer name ${far} mtu ${mtu}`,
  ];
  for (const end of [name, far]) lines.push(`link set ${end} addrgenmode none`, `link set ${end} up`);
  ip(lines);
}

/**
 * In the child: sends frames, given as `DEVICE FRAME` (hexadecimal); returns in the same form what arrived on devices
 * whose name begins with `receivers`.
 */
export function exchange(frames: string[], receivers?: string): string[] {
  const script = fileURLToPath(new URL('exchange.py', import.meta.url));
  const command = receivers === undefined ? [script] : [script, receivers];
  const output = execFileSync('/usr/bin/python3', command, { input: frames.join('\n'), maxBuffer: 1 << 28 });
  return output.toString().split('\n').filter(Boolean);
}

/** In the child: what the parent asked for. */
export function request<T>(): T {
  return JSON.parse(readFileSync(0, 'utf8')) as T;
}
