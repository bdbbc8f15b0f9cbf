/**
 * Reads what this node has, by a number of processes that does not depend on how much there is. A tool that fails
 * is an error, never an empty table: from that everything would look deleted.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Actual,
  type ActualLink,
  parseAddresses,
  parseFdb,
  parseLinks,
  parseNamespaceIds,
  parseTable,
} from './actual.ts';
import type { Family } from './guard.ts';
import { lookInto, NAMESPACES } from './look.ts';
import type { Memory } from './memory.ts';
import { EGRESS, networkOfAlias } from './names.ts';
import { ownerOf } from './owner.ts';
import type { Run } from './run.ts';

const BRIDGE_NETFILTER = ['iptables', 'ip6tables', 'arptables'].map(
  (what) => `/proc/sys/net/bridge/bridge-nf-call-${what}`,
);

async function output(run: Run, command: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(command, args);
  if (code !== 0) {
    throw new Error(
      `this node's state can't be read: ${command} ${args.join(' ')} exited ${code}: ${stderr.trim()}`,
    );
  }
  return stdout;
}

function settingIs(path: string, value: string): boolean {
  try {
    return readFileSync(path, 'utf8').trim() === value;
  } catch (error) {
    // No such device, or a kernel without the feature.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function namespaceFiles(): Actual['namespaces'] {
  let names: string[];
  try {
    names = readdirSync(NAMESPACES);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    names = []; // none was ever made since the machine started
  }
  // A namespace's file is a mount of nsfs; without the mount it is an empty file on /run.
  const directory = names.length === 0 ? 0 : statSync(NAMESPACES).dev;
  const broken = names.filter(
    (name) => statSync(join(NAMESPACES, name), { throwIfNoEntry: false })?.dev === directory,
  );
  return { present: new Set(names), broken: new Set(broken) };
}

export async function readLinks(run: Run): Promise<Map<string, ActualLink>> {
  const [links, ids] = await Promise.all([
    output(run, 'ip', '-j', '-d', 'link', 'show'),
    output(run, 'ip', '-j', 'netns', 'list'),
  ]);
  return parseLinks(links, parseNamespaceIds(ids));
}

async function readTable(run: Run, family: Family) {
  const { code, stdout, stderr } = await run('nft', ['-j', 'list', 'table', family, 'fistpath']);
  if (code === 0) return parseTable(stdout);
  if (stderr.includes('No such file or directory')) return null;
  throw new Error(`the nftables table ${family} fistpath can't be read: ${stderr.trim()}`);
}

/** Remembers the tables as nft shows them now; to be called when we have just made them. */
export async function rememberTables(run: Run, memory: Memory): Promise<void> {
  const [ip, bridge] = await Promise.all([readTable(run, 'ip'), readTable(run, 'bridge')]);
  if (ip && bridge) memory.rememberGuard({ ip: ip.structure, bridge: bridge.structure });
}

/** Tries whether the kernel can follow FTP: by a check of rules, which changes nothing. */
async function hasFtpHelper(run: Run, memory: Memory): Promise<boolean> {
  const file = memory.batchFile('probe.nft');
  const helper = 'ct helper ftp { type "ftp" protocol tcp; l3proto ip; }';
  writeFileSync(file, `table ip fistpath_probe {\n${helper}\n}\n`);
  const { code } = await run('nft', ['-c', '-f', file]);
  return code === 0;
}

export interface Question {
  /** Router namespaces to look into, by one process each; with the settings to look at. */
  inside: ReadonlyMap<string, readonly string[]>;
  /** The uplink and the egress bridge, when they are needed. */
  uplink: { device: string; bridge: string } | null;
  /** Networks that this is about; undefined: all. */
  scope: ReadonlySet<string> | undefined;
  /** What was found out before, if it was. */
  ftpHelper: boolean | undefined;
}

async function readAddresses(run: Run, device: string): Promise<string[]> {
  // Without IPv6's own of the link, which every device has.
  return parseAddresses(await output(run, 'ip', '-j', 'addr', 'show', 'dev', device, 'scope', 'global'));
}

export async function readActual(run: Run, memory: Memory, question: Question): Promise<Actual> {
  const { inside, uplink } = question;
  const claims = memory.claims();
  const namespaces = namespaceFiles();
  const visible = [...inside].filter(
    ([name]) => claims.has(name) && namespaces.present.has(name) && !namespaces.broken.has(name),
  );
  const [links, fdb, ip, bridge, ...inner] = await Promise.all([
    readLinks(run),
    output(run, 'bridge', '-j', 'fdb', 'show').then(parseFdb),
    readTable(run, 'ip'),
    readTable(run, 'bridge'),
    ...visible.map(async ([name, settings]) => [name, await lookInto(run, name, settings)] as const),
  ]);
  // A port of a bridge has none that count.
  const free = uplink !== null && links.get(uplink.device)?.master === null;
  const uplinkAddresses = free ? await readAddresses(run, uplink.device) : [];
  const pending = memory.pending();
  const ours = [...links.values()].filter((link) => ownerOf(link, pending) !== undefined);
  // A file for each device: 2,500 of them cost more than all the tools.
  const concerned = ours.filter(({ alias }) => {
    const owner = networkOfAlias(alias) ?? '';
    return question.scope === undefined || question.scope.has(owner) || owner === EGRESS || owner === '';
  });
  const setting = (name: string) => `/proc/sys/net/ipv6/conf/${name}/disable_ipv6`;
  return {
    links,
    fdb,
    guard: {
      ip: ip && memory.isOurGuard('ip', ip.structure) ? ip.elements : null,
      bridge: bridge && memory.isOurGuard('bridge', bridge.structure) ? bridge.elements : null,
    },
    namespaces,
    claims,
    pending,
    inner: new Map(inner),
    ipv6: new Set(concerned.filter(({ name }) => settingIs(setting(name), '0')).map(({ name }) => name)),
    hasIpv6: settingIs(setting('all'), '0') || settingIs(setting('all'), '1'),
    bridgeNetfilter: BRIDGE_NETFILTER.filter((path) => settingIs(path, '1')),
    uplinkAddresses,
    ftpHelper: question.ftpHelper ?? (uplink !== null && (await hasFtpHelper(run, memory))),
  };
}
