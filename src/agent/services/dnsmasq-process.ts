/** One running dnsmasq, as /proc shows it: no process is made for looking. */
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessId {
  pid: number;
  /** Clock ticks after the machine's start: tells two processes of one number apart. */
  started: number;
}

export interface ProcessState extends ProcessId {
  /** One letter, as in proc(5). */
  state: string;
  /** CPU time used, in clock ticks. */
  used: number;
}

/** DNS and DHCP server ports, as /proc/net/udp writes them. */
const SERVER_PORTS = new Set(['0035', '0043']);

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // it is gone, or goes just now
  }
}

/** Undefined: there is no such process. */
export function processState(pid: number): ProcessState | undefined {
  const text = textOf(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The name is in brackets, and may have brackets and spaces in it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    pid,
    state: fields[0]!,
    used: Number(fields[11]) + Number(fields[12]),
    started: Number(fields[19]),
  };
}

/** Arguments of a process; empty for a zombie. */
export function commandLine(pid: number): string[] {
  return (textOf(`/proc/${pid}/cmdline`) ?? '').split('\0').slice(0, -1);
}

/** Whether a process can do work: it is there, and neither dead nor stopped. */
export function isWorking(process: ProcessState | undefined): process is ProcessState {
  return process !== undefined && !'ZXxT'.includes(process.state);
}

/** Whether requests wait to be read by a server in the process's network namespace. */
export function requestsWait(pid: number): boolean {
  const lines = (textOf(`/proc/${pid}/net/udp`) ?? '').split('\n').slice(1);
  return lines.some((line) => {
    // sl local_address rem_address st tx_queue:rx_queue …
    const [, local = '', , , queues = ''] = line.trim().split(/\s+/);
    return (
      SERVER_PORTS.has(local.split(':')[1] ?? '') && Number.parseInt(queues.split(':')[1] ?? '0', 16) > 0
    );
  });
}

/** Running processes by their command line, words joined with spaces. */
export function processesByCommand(): Map<string, ProcessId[]> {
  const found = new Map<string, ProcessId[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const state = processState(Number(name));
    const command = commandLine(Number(name)).join(' ');
    if (state && command !== '') found.set(command, [...(found.get(command) ?? []), state]);
  }
  return found;
}

const GRACE_MS = 1000;
const POLL_MS = 10;

/** Ends a process, by force when it does not end by itself in a second. Resolves when it is gone, or a zombie. */
export async function endProcess({ pid, started }: ProcessId): Promise<void> {
  const gone = () => {
    const now = processState(pid);
    return now === undefined || now.started !== started || 'ZXx'.includes(now.state);
  };
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    if (gone()) return;
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return;
      throw error;
    }
    for (let waited = 0; waited < GRACE_MS && !gone(); waited += POLL_MS) {
      // A stopped process takes no other signal.
      if (signal === 'SIGTERM' && processState(pid)?.state === 'T') break;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
  if (!gone()) throw new Error(`process ${pid} can't be ended`);
}
