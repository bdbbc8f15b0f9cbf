/** The tree of commands. What a command does is imported when it runs; building the tree must stay cheap. */
import { existsSync, readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { DEFAULTS } from '../defaults.ts';
import { addCompletionCommands } from './commands/completion.ts';
import { addCountersCommand } from './commands/counters.ts';
import { addFdbCommands } from './commands/fdb.ts';
import { addFlowCommands } from './commands/flow.ts';
import { addInstanceCommands } from './commands/instance.ts';
import { addInterfaceCommands } from './commands/interface.ts';
import { addMapCommands } from './commands/map.ts';
import { addNatCommands } from './commands/nat.ts';
import { addNetworkCommands } from './commands/network.ts';
import { addNodeCommands } from './commands/node.ts';
import { addStatusCommand } from './commands/status.ts';

const AFTER = `
Environment:
  FISTPATH_API_URL      where the API is (also SHAKENFIST_API_URL); unless given, the unix socket
                        ${DEFAULTS.unix} when it is there, else http://localhost:${DEFAULTS.port}
  FISTPATH_NAMESPACE    who asks (also SHAKENFIST_NAMESPACE); "system" unless given
  FISTPATH_KEY          its key (also SHAKENFIST_KEY); for "system" the daemon's bootstrap key file, where readable
  FISTPATH_CONFIG, FISTPATH_BPF_DIRECTORY, FISTPATH_STATE_DIRECTORY
  NO_COLOR              no colours

Exit codes: 0 ok, 1 failure (for fdb show: differences), 2 usage, 3 not found, 4 conflict

Inspection (map, fdb, flow, nat, counters, status) reads the kernel's maps directly and works when no daemon runs.

Examples:
  $ fistpath network create 192.168.0.0/24 demonet --no-dhcp --no-nat
  $ fistpath instance create inst-on-sf-2 1 1024 -d 8@cirros -n demonet -p sf-2
  $ fistpath network events demonet
  $ fistpath fdb show demonet
  $ source <(fistpath completion bash)`;

/** package.json is two folders up from the source and three from the compiled file. */
function version(): string {
  const candidates = ['../../package.json', '../../../package.json'].map(
    (path) => new URL(path, import.meta.url),
  );
  const file = candidates.find((candidate) => existsSync(candidate));
  return file === undefined
    ? 'unknown'
    : (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** Builds the whole tree. Commander's own errors are thrown, not printed: run.ts prints one line. */
export function createProgram(): Command {
  const program = new Command('fistpath')
    .description(
      'Virtual networks between hypervisors: VXLAN in the kernel, with an eBPF fast path in front of it.',
    )
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .addOption(new Option('--json', 'output as JSON').conflicts('simple'))
    .addOption(new Option('--simple', 'output as comma-separated lines with a header'))
    .option('--api-url <url>', 'where the API is: http://host:port or unix:/path/to/socket')
    .option('--as <namespace>', 'who asks: the namespace that FISTPATH_KEY belongs to')
    .option('--config <file>', `the daemon's configuration (default: ${DEFAULTS.config})`)
    .option(
      '--bpf-directory <directory>',
      `where maps and links are pinned (default: ${DEFAULTS.bpf_directory})`,
    )
    .option('--state-directory <directory>', `the agent's state (default: ${DEFAULTS.state_directory})`)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => {} })
    .exitOverride()
    .addHelpText('after', AFTER);
  addNetworkCommands(program);
  addInstanceCommands(program);
  addInterfaceCommands(program);
  addNodeCommands(program);
  addMapCommands(program);
  addFdbCommands(program);
  addFlowCommands(program);
  addNatCommands(program);
  addCountersCommand(program);
  addStatusCommand(program);
  addCompletionCommands(program);
  return program;
}
