import { readFileSync, statSync } from 'node:fs';
import { DEFAULTS } from '../defaults.ts';
import { EXIT, Failure } from './failure.ts';

export interface GlobalOptions {
  json?: boolean;
  simple?: boolean;
  apiUrl?: string;
  as?: string;
  config?: string;
  bpfDirectory?: string;
  stateDirectory?: string;
}

/** The few fields of the daemon's configuration that matter here. The daemon checks the file, we only read it. */
interface DaemonConfig {
  node?: string;
  state_directory?: string;
  bpf_directory?: string;
  bootstrap_key_file?: string;
  listen?: { rest?: string; unix?: string };
}

export interface Settings {
  output: 'pretty' | 'simple' | 'json';
  /** http://host:port, https://…, or unix:/path/to/socket */
  apiUrl: string;
  namespace: string;
  /** Reads the namespace's key when it is needed. Throws a Failure that says how to give one. */
  key: () => string;
  bpfDirectory: string;
  stateDirectory: string;
  /** This node's name, when its daemon is configured. */
  node?: string;
}

function readDaemonConfig(given: string | undefined): DaemonConfig {
  const file = given ?? DEFAULTS.config;
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as DaemonConfig;
  } catch (error) {
    // Nothing but the API's address is needed on a workstation, which has no daemon and no such file.
    if (given === undefined) return {};
    throw new Failure(`cannot read the daemon's configuration ${file}: ${(error as Error).message}`);
  }
}

function defaultUrl(config: DaemonConfig): string {
  const socket = config.listen?.unix ?? DEFAULTS.unix;
  if (statSync(socket, { throwIfNoEntry: false })?.isSocket()) return `unix:${socket}`;
  const port = config.listen?.rest?.split(':').at(-1) ?? DEFAULTS.port;
  return `http://localhost:${port}`;
}

function bootstrapKey(config: DaemonConfig, namespace: string): string | undefined {
  if (namespace !== 'system' || config.bootstrap_key_file === undefined) return undefined;
  try {
    return readFileSync(config.bootstrap_key_file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Options win over FISTPATH_… variables, those over SHAKENFIST_…, those over the daemon's configuration file. */
export function readSettings(options: GlobalOptions, env: NodeJS.ProcessEnv = process.env): Settings {
  const config = readDaemonConfig(options.config ?? env.FISTPATH_CONFIG);
  const namespace = options.as ?? env.FISTPATH_NAMESPACE ?? env.SHAKENFIST_NAMESPACE ?? 'system';
  return {
    output: options.json ? 'json' : options.simple ? 'simple' : 'pretty',
    apiUrl: options.apiUrl ?? env.FISTPATH_API_URL ?? env.SHAKENFIST_API_URL ?? defaultUrl(config),
    namespace,
    key: () => {
      const key = env.FISTPATH_KEY ?? env.SHAKENFIST_KEY ?? bootstrapKey(config, namespace);
      if (key !== undefined) return key;
      throw new Failure(
        `no key for namespace ${namespace}: set FISTPATH_KEY (and FISTPATH_NAMESPACE, when it is not "system")`,
        EXIT.failure,
      );
    },
    bpfDirectory:
      options.bpfDirectory ?? env.FISTPATH_BPF_DIRECTORY ?? config.bpf_directory ?? DEFAULTS.bpf_directory,
    stateDirectory:
      options.stateDirectory ??
      env.FISTPATH_STATE_DIRECTORY ??
      config.state_directory ??
      DEFAULTS.state_directory,
    node: config.node,
  };
}
