/**
 * Carries out a plan, a stage by one process. `ip -batch` and `bridge -batch` go on after a failure and say the line's
 * number; so a failure is the affected network's alone, and its later operations are left out.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { parseTable } from './actual.ts';
import { NAMESPACES } from './look.ts';
import type { Memory } from './memory.ts';
import { structureDigest } from './nat-inner.ts';
import type { Announcement, InnerSetup, Operation, Plan, Stage } from './operations.ts';
import type { Run } from './run.ts';
import { type Step, Steps } from './steps.ts';

/** Namespaces that are set up at a time. */
const PARALLEL = 4;

/** $1 batch, beside which lie the other files, where there is something for them; then the devices. */
const INNER_SCRIPT = `
batch=$1; shift
if [ -e "$batch.nft" ]; then nft -f "$batch.nft" || exit; fi
if [ -e "$batch.settings" ]; then
	while read -r path value; do echo "$value" > "/proc/sys/net/$path" || exit; done < "$batch.settings"
	for off in /proc/sys/net/ipv6/conf/*/disable_ipv6; do [ ! -e "$off" ] || echo 1 > "$off" || exit; done
fi
for device; do
	off=/proc/sys/net/ipv6/conf/$device/disable_ipv6
	[ ! -e "$off" ] || echo 1 > "$off" || exit
	ethtool -K "$device" gro on || exit
done
if [ -e "$batch.gone" ]; then ip -force -batch "$batch.gone" 2> /dev/null; fi
ip -batch "$batch" || exit
if [ -e "$batch.stale" ]; then conntrack -R "$batch.stale" > /dev/null || exit; fi
[ ! -e "$batch.learns" ] || exec nft -j list table ip fistpath`;

/**
 * $1 device, then addresses. Gratuitous ARP in both forms, since some listen to one only (RFC 5944, 4.6). Once: a
 * second time could come when the address has moved on. Nobody waits for arping, which ends a second later.
 */
const ANNOUNCE_SCRIPT = `
device=$1; shift
exec < /dev/null > /dev/null 2>&1
(
	n=0
	for address; do
		arping -q -A -c 1 -w 1 -I "$device" "$address" &
		arping -q -U -c 1 -w 1 -I "$device" "$address" &
		n=$((n + 1))
		[ $((n % 32)) != 0 ] || wait
	done
) &`;

export interface Execution {
  /** Network → what failed. */
  errors: Map<string, string>;
  /** What failed that is no single network's. */
  problems: string[];
  failedStages: Set<string>;
  steps: Map<string, Step[]>;
  /** Changes made or tried. */
  commands: number;
  /** Namespaces that are set up now. */
  inner: InnerSetup[];
}

/** What changes nothing but our memory. */
const NOTES: ReadonlySet<Operation['tool']> = new Set(['pending', 'claim', 'release']);

type LineTool = 'ip' | 'bridge' | 'nft';

export async function execute(plan: Plan, run: Run, memory: Memory): Promise<Execution> {
  const errors = new Map<string, string>();
  const problems: string[] = [];
  const failedStages = new Set<string>();
  const steps = new Steps();
  const inner: InnerSetup[] = [];
  let commands = 0;

  /** Whether it is no failure at all. */
  const excused = (stage: string, operation: Operation, reason: string): boolean => {
    // Not for nft, whose file is done whole or not at all: the others in it are there still.
    if (
      operation.removes &&
      operation.tool !== 'nft' &&
      /does not exist|Cannot find device|No such|Cannot remove/.test(reason)
    )
      return true;
    failedStages.add(stage);
    if (operation.networks.length === 0 && !problems.includes(reason)) problems.push(reason);
    for (const uuid of operation.networks) if (!errors.has(uuid)) errors.set(uuid, reason);
    return false;
  };

  for (const stage of plan.stages) {
    const operations = stage.operations.filter(({ networks }) => !networks.some((uuid) => errors.has(uuid)));
    if (operations.length === 0) continue;
    const started = Date.now() / 1000;
    const clock = performance.now();
    const failures = await executeStage({ ...stage, operations });
    const done = operations.filter((operation) => {
      const reason = failures.get(operation);
      return reason === undefined || excused(stage.name, operation, reason);
    });
    steps.add(done, started, (performance.now() - clock) / 1000);
    commands += operations.filter(({ tool }) => !NOTES.has(tool)).length;
  }
  return { errors, problems, failedStages, steps: steps.byNetwork(), commands, inner };

  async function executeStage({ name, operations }: Stage): Promise<Map<Operation, string>> {
    const failures = new Map<Operation, string>();
    for (const operation of operations) {
      try {
        if (operation.tool === 'write') writeFileSync(operation.path, operation.text);
        if (operation.tool === 'claim') memory.claim(operation.namespace, operation.devices ?? {});
        if (operation.tool === 'release') memory.release(operation.namespace);
        if (operation.tool === 'pending') memory.setPending(operation.links);
      } catch (error) {
        failures.set(operation, (error as Error).message);
      }
    }
    for (const tool of ['nft', 'ip', 'bridge'] as const) {
      const lines = operations.filter((operation) => operation.tool === tool);
      if (lines.length > 0)
        await executeLines(tool, name, lines as (Operation & { line: string })[], failures);
    }
    const visits = operations.filter(({ tool }) => tool === 'inner' || tool === 'announce');
    const worker = async () => {
      for (let operation = visits.pop(); operation; operation = visits.pop()) {
        const reason = await visit(operation);
        if (reason !== undefined) failures.set(operation, reason);
      }
    };
    // All come to their end before a pass does, whatever happens to one.
    const ends = await Promise.allSettled(Array.from({ length: PARALLEL }, worker));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
    return failures;
  }

  async function executeLines(
    tool: LineTool,
    stage: string,
    operations: (Operation & { line: string })[],
    failures: Map<Operation, string>,
  ): Promise<void> {
    const file = memory.batchFile(`${stage}.${tool}`);
    writeFileSync(file, operations.map(({ line }) => `${line}\n`).join(''));
    const args = tool === 'nft' ? ['-f', file] : ['-force', '-batch', file];
    const { code, stderr } = await run(tool, args);
    if (code === 0) return;
    const byLine = tool === 'nft' ? [] : failedLines(stderr);
    // nft's file is one transaction; a batch that names no line did not get anywhere either.
    if (byLine.length === 0) {
      const reason = `${tool} ${args.join(' ')} exited ${code}: ${stderr.trim().split('\n').slice(0, 3).join('; ')}`;
      for (const operation of operations) failures.set(operation, reason);
    }
    for (const { line, reason } of byLine) {
      const operation = operations[line - 1];
      if (operation) failures.set(operation, `"${tool} ${operation.line}" failed: ${reason}`);
    }
  }

  /** What failed, or undefined. */
  async function visit(operation: Operation): Promise<string | undefined> {
    if (operation.tool === 'inner') return await enter(operation.setup);
    return operation.tool === 'announce' ? await announce(operation) : undefined;
  }

  async function enter(setup: InnerSetup): Promise<string | undefined> {
    const { namespace, lines, nft, gone, stale, devices } = setup;
    const file = memory.batchFile(`inside-${namespace}`);
    const settings = setup.settings.map((pair) => pair.join(' '));
    const learns = setup.learns === undefined ? [] : [setup.learns];
    const files = Object.entries({
      '': lines,
      '.nft': nft,
      '.settings': settings,
      '.gone': gone,
      '.stale': stale,
      '.learns': learns,
    });
    for (const [suffix, texts] of files) {
      if (texts.length > 0 || suffix === '')
        writeFileSync(file + suffix, texts.map((text) => `${text}\n`).join(''));
      // Left by a pass that was cut short.
      else rmSync(file + suffix, { force: true });
    }
    const { code, stdout, stderr } = await run(
      'nsenter',
      enterArgs(namespace, INNER_SCRIPT, [file, ...devices]),
    );
    for (const [suffix] of files) rmSync(file + suffix, { force: true });
    if (code !== 0) return `set-up inside namespace ${namespace} failed: ${stderr.trim()}`;
    const learner = setup.ready[setup.learns ?? ''];
    if (learner?.nat) learner.nat.structure = structureDigest(parseTable(stdout).structure);
    inner.push(setup);
    return undefined;
  }

  async function announce({ namespace, device, addresses }: Announcement): Promise<string | undefined> {
    const { code, stderr } = await run(
      'nsenter',
      enterArgs(namespace, ANNOUNCE_SCRIPT, [device, ...addresses]),
    );
    return code === 0 ? undefined : `announcement from namespace ${namespace} failed: ${stderr.trim()}`;
  }
}

/** Not `ip netns exec`, which mounts another /sys (and so hides bpffs) for what it runs. */
function enterArgs(namespace: string, script: string, words: readonly string[]): string[] {
  return [`--net=${NAMESPACES}/${namespace}`, 'sh', '-c', script, 'sh', ...words];
}

/** What `-batch -force` says: messages of a line, then `Command failed FILE:LINE`. */
export function failedLines(stderr: string): { line: number; reason: string }[] {
  const failed: { line: number; reason: string }[] = [];
  let reason: string[] = [];
  for (const text of stderr.split('\n')) {
    const match = /^Command failed .*:(\d+)$/.exec(text.trim());
    if (!match) {
      reason.push(text.trim());
      continue;
    }
    failed.push({ line: Number(match[1]), reason: reason.filter(Boolean).join('; ') || 'no reason given' });
    reason = [];
  }
  return failed;
}
