import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Cluster, type ClusterOptions, type Hook, type Mode, type PortKind } from './cluster.ts';
import { WorkedExample } from './example.ts';
import { LAB_VARIABLE, type ProcessId } from './process.ts';
import type { LabNode } from './topology.ts';

const USAGE = `Usage: npm run lab [-- OPTIONS]                  build three nodes and perform the worked example
       npm run lab -- status                     what runs
       npm run lab -- shell NODE [COMMAND …]     a shell (or one command) on a node, or outside (NODE: outside)
       npm run lab -- guest INSTANCE [COMMAND …] a shell (or one command) inside an instance, by name or uuid
       npm run lab -- docs                       the API's page on http://127.0.0.1:13000/docs until Ctrl-C
       npm run lab -- down                       remove every trace

  --ports tap|netns         how instances are joined to a node (default netns)
  --datapath kernel|ebpf    (default ebpf)
  --underlay-hook tc|xdp    where the underlay program sits (default tc)
  --uplink-hook tc|xdp      where the uplink program sits (default tc)
  --name NAME               another lab beside the usual one (default lab)
`;

class UsageError extends Error {}

interface Saved extends ClusterOptions {
  ports: PortKind;
  underlayHook: Hook;
  uplinkHook: Hook;
}

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === value);
  if (found === undefined) throw new UsageError(`--${option} is ${allowed.join(' or ')}, not ${value}`);
  return found;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    args: ownArguments(process.argv.slice(2)),
    allowPositionals: true,
    options: {
      ports: { type: 'string', default: 'netns' },
      datapath: { type: 'string', default: 'ebpf' },
      'underlay-hook': { type: 'string', default: 'tc' },
      'uplink-hook': { type: 'string', default: 'tc' },
      name: { type: 'string', default: 'lab' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const [command = 'up', ...rest] = positionals;
  const commandLine = commandAfter(command, process.argv);
  if (process.getuid!() !== 0) throw new Error('must run as root: it makes network namespaces');
  if (process.env[LAB_VARIABLE] !== undefined) throw new Error('this shell is inside a lab; leave it first');
  if (!/^[a-z0-9-]{1,40}$/.test(values.name)) throw new UsageError('--name takes a-z, 0-9 and -');
  switch (command) {
    case 'up': {
      const ports = oneOf('ports', values.ports, ['netns', 'tap']);
      const mode = oneOf('datapath', values.datapath, ['ebpf', 'kernel']);
      const underlayHook = oneOf('underlay-hook', values['underlay-hook'], ['tc', 'xdp']);
      const uplinkHook = oneOf('uplink-hook', values['uplink-hook'], ['tc', 'xdp']);
      await up(values.name, { ports, underlayHook, uplinkHook }, mode);
      return 0;
    }
    case 'down':
      await new Cluster(values.name, { ports: 'netns' }).down();
      console.log('The lab is gone.');
      return 0;
    case 'status':
      return status(reopen(values.name));
    case 'shell':
      return shell(reopen(values.name), rest[0], commandLine);
    case 'guest':
      return guest(reopen(values.name), rest[0], commandLine);
    case 'docs':
      return docs(reopen(values.name));
    default:
      throw new UsageError(`no command ${command}`);
  }
}

/** Options end at `shell NODE` and `guest INSTANCE`: what follows belongs to the command that is run there. */
function ownArguments(args: readonly string[]): string[] {
  const at = args.findIndex((each) => each === 'shell' || each === 'guest');
  return at < 0 ? [...args] : args.slice(0, at + 2);
}

function commandAfter(command: string, args: readonly string[]): string[] {
  return args.slice(args.indexOf(command) + 2);
}

function settingsFile(cluster: Cluster): string {
  return join(cluster.topology.directory, 'lab.json');
}

async function up(name: string, options: Saved, mode: Mode): Promise<void> {
  const cluster = new Cluster(name, options);
  console.log(
    `Building three nodes and an outside (${options.ports} ports, ${mode} datapath, programs of underlay and uplink at ${options.underlayHook} and ${options.uplinkHook}) …`,
  );
  await cluster.up();
  writeFileSync(settingsFile(cluster), JSON.stringify(options));
  await cluster.setMode(mode);
  await new WorkedExample(cluster, mode, (text) => console.log(text)).perform();
  console.log(`
The lab goes on running. Go on with:
  npm run lab -- shell sf-1                 a shell on a node; fistpath works there, on sf-2 and sf-3, too
  npm run lab -- shell sf-2 fistpath counters
  npm run lab -- guest inst-on-sf-2         a shell inside an instance
  npm run lab -- shell outside ping A       from beyond the uplink, to a floating address A
  npm run lab -- docs                       the API's page on http://127.0.0.1:13000/docs
  npm run lab -- status                     what runs, and where its logs are
  npm run lab -- down                       remove every trace`);
}

function reopen(name: string): Cluster {
  const cluster = new Cluster(name, { ports: 'netns' });
  let options: Saved;
  try {
    options = JSON.parse(readFileSync(settingsFile(cluster), 'utf8')) as Saved;
  } catch {
    throw new Error(`no lab is up (${cluster.topology.directory}): npm run lab`);
  }
  return new Cluster(name, options);
}

function status(cluster: Cluster): number {
  const of = (id: ProcessId | undefined) => (id === undefined ? 'not running' : `pid ${id.pid}`);
  let sound = true;
  for (const node of cluster.nodes) {
    const [holder, daemon] = [node.started('holder'), node.started('fistpathd')];
    sound &&= holder !== undefined && daemon !== undefined;
    console.log(
      `${node.name}  ${node.address}  namespaces: ${of(holder)}  fistpathd: ${of(daemon)}  ${node.logOf('fistpathd')}`,
    );
  }
  console.log(`${cluster.topology.processes().length} processes, files in ${cluster.topology.directory}`);
  return sound ? 0 : 1;
}

function interactive(command: string[], env: Record<string, string>, lab: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0]!, command.slice(1), {
      stdio: 'inherit',
      env: { ...process.env, ...env, [LAB_VARIABLE]: lab },
    });
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}

function shell(cluster: Cluster, name: string | undefined, command: string[]): Promise<number> {
  if (name === undefined) throw new UsageError('shell needs the name of a node');
  const { outside } = cluster.topology;
  const node: LabNode = name === outside.name ? outside : cluster.node(name);
  const own = node === outside ? {} : cluster.cliEnvironment(node);
  const env = { ...own, PS1: `${node.name} # ` };
  const line = command.length > 0 ? command : ['bash', '--norc'];
  return interactive(node.enter(line), env, cluster.topology.directory);
}

async function guest(cluster: Cluster, name: string | undefined, command: string[]): Promise<number> {
  if (name === undefined) throw new UsageError('guest needs the name or uuid of an instance');
  const instance = await cluster.rest.call<{ uuid: string; name: string; node: string }>(
    'GET',
    `/instances/${name}`,
  );
  const line = command.length > 0 ? command : ['bash', '--norc'];
  const env = { PS1: `${instance.name} # ` };
  return interactive(cluster.node(instance.node).enter(line, instance.uuid), env, cluster.topology.directory);
}

/** Brings the controller's unix socket to the host's loopback, which the lab's namespaces can't reach. */
function docs(cluster: Cluster): Promise<number> {
  const socket = join(cluster.controller.directory, 'api.sock');
  return new Promise((_, reject) => {
    const server = createServer((client) => {
      const api = connect(socket);
      client.pipe(api).pipe(client);
      for (const end of [client, api]) {
        end.on('error', () => {
          client.destroy();
          api.destroy();
        });
      }
    });
    server.on('error', reject);
    server.listen(13000, '127.0.0.1', () => {
      console.log(`http://127.0.0.1:13000/docs
POST /auth there takes namespace "system" and the key in ${cluster.topology.directory}/bootstrap-key. Ctrl-C ends it.`);
    });
  });
}

main().then(
  (code) => process.exit(code),
  (error: Error & { code?: string }) => {
    const usage = error instanceof UsageError || error.code?.startsWith('ERR_PARSE_ARGS');
    console.error(usage ? `lab: ${error.message}\n\n${USAGE}` : `lab: ${error.message}`);
    process.exit(usage ? 2 : 1);
  },
);
