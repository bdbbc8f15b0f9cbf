#!/usr/bin/env node
/**
 * fistpathd: one daemon, two roles. Reads its configuration, starts the roles it names, stops them on SIGTERM.
 * The node's network does not stop with it.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { Agent } from './agent/agent.ts';
import { listen } from './api/listen.ts';
import { createServer } from './api/server.ts';
import { type Config, DEFAULT_CONFIG_FILE, hostAndPort, readConfig } from './config.ts';
import { openController } from './controller/open.ts';
import { openEmbeddedStore } from './store/embedded.ts';
import { takeLock } from './store/lock.ts';

const USAGE = `Usage: fistpathd [--config FILE]

Runs this node's part of fistpath: the agent (its virtual networks), the controller (REST, records), or both.

  --config FILE   JSON configuration (default ${DEFAULT_CONFIG_FILE}); README.md describes it
  --check         read the configuration, say whether it is right, and exit
  --version
  --help
`;

interface Stoppable {
  close(): Promise<void>;
}

function version(): string {
  for (const up of ['../package.json', '../../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8')) as { version: string }).version;
    } catch {
      // one directory further up when built
    }
  }
  return 'unknown';
}

async function main(): Promise<number | undefined> {
  const { values } = parseArgs({
    options: {
      config: { type: 'string', default: DEFAULT_CONFIG_FILE },
      check: { type: 'boolean', default: false },
      version: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (values.version) {
    process.stdout.write(`fistpathd ${version()}\n`);
    return 0;
  }
  const config = readConfig(values.config);
  if (values.check) {
    if (config.roles.includes('controller')) bootstrapKey(config);
    process.stdout.write(`${values.config} is right\n`);
    return 0;
  }
  return serve(config);
}

function bootstrapKey({ bootstrap_key_file: file = '' }: Config): string {
  let key: string;
  try {
    key = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new Error(`bootstrap_key_file can't be read: ${(error as Error).message}`);
  }
  if (key === '') throw new Error(`bootstrap_key_file ${file} is empty: put a key of your choice into it`);
  return key;
}

async function serve(config: Config): Promise<undefined> {
  const log = pino({ level: config.log_level, base: { node: config.node } });
  mkdirSync(config.state_directory, { recursive: true, mode: 0o755 });
  // Two agents would undo each other's work. Held until this process ends, however it does.
  try {
    takeLock(join(config.state_directory, 'fistpathd.lock'));
  } catch (error) {
    throw new Error(`fistpathd runs on this node already: ${(error as Error).message}`);
  }
  const parts: Stoppable[] = [];
  if (config.roles.includes('controller')) parts.push(await startController(config));
  if (config.roles.includes('agent')) {
    const agent = new Agent({ config, log: log.child({ part: 'agent' }), release: version() });
    parts.push(agent);
    agent.run().catch((error: Error) => {
      log.fatal({ error: error.message }, 'the agent ended');
      process.exit(1);
    });
  }
  log.info({ roles: config.roles, version: version() }, 'ready');

  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, 'stopping; the networks of this node go on');
    Promise.all(parts.map((part) => part.close())).then(
      () => process.exit(0),
      (error: Error) => {
        log.error({ error: error.message }, 'could not stop in order');
        process.exit(1);
      },
    );
  };
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => stop(signal));

  async function startController(config: Config): Promise<Stoppable> {
    const store = await openEmbeddedStore(join(config.state_directory, 'store'));
    const controller = await openController({
      store,
      floatingPool: config.floating_pool,
      dnsDomain: config.dns_domain,
      bootstrapKey: bootstrapKey(config),
      nodeName: config.node,
      log: log.child({ part: 'controller' }),
    });
    const agents = await controller.listenForAgents(config.listen.agents);
    const api = await createServer({
      operations: controller.operations,
      log: log.child({ part: 'api' }),
      tokenSecret: randomBytes(32),
    });
    await listen(api, [hostAndPort(config.listen.rest), { path: config.listen.unix }]);
    return {
      async close() {
        await api.close();
        await agents.close();
        await controller.close();
        await store.close();
      },
    };
  }
}

main().then(
  (code) => {
    if (code !== undefined) process.exitCode = code;
  },
  (error: Error & { code?: string }) => {
    process.stderr.write(`fistpathd: ${error.message}\n`);
    process.exit(error.code?.startsWith('ERR_PARSE_ARGS') ? 2 : 1);
  },
);
