import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { DEFAULTS } from './defaults.ts';
import { isHostName } from './records/hostname.ts';
import { parsePool } from './records/netblock.ts';

export const DEFAULT_CONFIG_FILE = DEFAULTS.config;

const Capacity = Type.Integer({ minimum: 1, maximum: 1 << 24 });

const HostAndPort = (fallback: string) => Type.String({ default: fallback, pattern: '^.+:[0-9]{1,5}$' });
/** A device's name as the kernel allows it, or nearly. */
const Device = Type.String({ pattern: '^[^\\s/:]{1,15}$' });

/** Entries each map can hold. Chosen at the first load; a later change needs the maps recreated. */
const MapSizes = Type.Object(
  {
    ports: Type.Optional(Capacity),
    fdb: Type.Optional(Capacity),
    networks: Type.Optional(Capacity),
    members: Type.Optional(Capacity),
    nexthops: Type.Optional(Capacity),
    /** Cached NAT decisions, two for each connection. */
    flows: Type.Optional(Capacity),
    /** Of the network node: addresses whose traffic with the outside is counted. */
    accounts: Type.Optional(Capacity),
    /** Routed addresses. */
    routed: Type.Optional(Capacity),
  },
  { additionalProperties: false },
);

const Config = Type.Object(
  {
    node: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$' }),
    roles: Type.Array(Type.Union([Type.Literal('controller'), Type.Literal('agent')]), { minItems: 1 }),
    network_node: Type.Boolean({ default: false }),
    hypervisor: Type.Boolean({ default: true }),
    state_directory: Type.String({ default: DEFAULTS.state_directory }),
    bpf_directory: Type.String({ default: DEFAULTS.bpf_directory }),
    underlay: Type.Object({ device: Device, address: Type.String() }, { additionalProperties: false }),
    vxlan_port: Type.Integer({ minimum: 1, maximum: 65535, default: 4789 }),
    /** A ceiling: "kernel" keeps this node on the kernel path whatever the controller asks for. */
    datapath: Type.Union([Type.Literal('ebpf'), Type.Literal('kernel')], { default: 'ebpf' }),
    /** Of the network node: the NIC towards the outside, and the egress bridge, which is made and gets it as a port unless it exists. */
    uplink: Type.Optional(
      Type.Object(
        {
          device: Device,
          bridge: Type.String({ default: 'br-egress', pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$' }),
        },
        { additionalProperties: false },
      ),
    ),
    uplink_hook: Type.Union([Type.Literal('tc'), Type.Literal('xdp')], { default: 'tc' }),
    underlay_hook: Type.Union([Type.Literal('tc'), Type.Literal('xdp')], { default: 'tc' }),
    port_kind: Type.Union([Type.Literal('tap'), Type.Literal('netns')], { default: 'tap' }),
    controllers: Type.Array(Type.String({ pattern: '^[^:]+:[0-9]+$' }), { minItems: 1 }),
    listen: Type.Object(
      {
        rest: HostAndPort(`127.0.0.1:${DEFAULTS.port}`),
        unix: Type.String({ default: DEFAULTS.unix }),
        agents: HostAndPort('127.0.0.1:13001'),
      },
      { additionalProperties: false, default: {} },
    ),
    bootstrap_key_file: Type.Optional(Type.String()),
    floating_pool: Type.Union([Type.String(), Type.Null()], { default: null }),
    /** Of the controller: instances are called <name>.<namespace>.<domain>. */
    dns_domain: Type.String({ default: 'internal', pattern: '^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$' }),
    /** Of the network node: name servers that guests and dnsmasq are told to ask. */
    dns_servers: Type.Array(Type.String(), { default: ['8.8.8.8', '8.8.4.4'], maxItems: 3 }),
    /** Of the network node: a flow's packet is shown to the kernel this often. */
    flow_refresh_seconds: Type.Number({ minimum: 0.1, maximum: 10, default: 3 }),
    /** How often the agent tells what its interfaces sent and received. */
    usage_seconds: Type.Integer({ minimum: 1, maximum: 3600, default: 60 }),
    map_sizes: Type.Intersect([MapSizes], { default: {} }),
    log_level: Type.Union(
      [Type.Literal('debug'), Type.Literal('info'), Type.Literal('warn'), Type.Literal('error')],
      { default: 'info' },
    ),
  },
  { additionalProperties: false },
);

export type Config = Static<typeof Config>;

/** Reads and checks the daemon's configuration. Throws an Error that names the file, the field and what is wrong. */
export function readConfig(file: string): Config {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`configuration ${file} can't be read: ${(error as Error).message}`);
  }
  return parseConfig(text, file);
}

/** The same for a text; `file` is for messages only. */
export function parseConfig(text: string, file: string): Config {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    throw new Error(`configuration ${file} is no JSON: ${(error as Error).message}`);
  }
  const value = Value.Default(Config, given);
  const first = Value.Errors(Config, value)[0];
  if (first !== undefined) {
    const what = first.keyword === 'boolean' ? 'is no known field' : first.message;
    throw new Error(`configuration ${file}: ${first.instancePath || 'it'} ${what}`);
  }
  const config = value as Config;
  const problem = problemOf(config);
  if (problem !== undefined) throw new Error(`configuration ${file}: ${problem}`);
  return config;
}

/** What no single field's form shows. */
function problemOf(config: Config): string | undefined {
  const { underlay, uplink, floating_pool: pool, dns_domain: domain, dns_servers: servers } = config;
  if (!isIPv4(underlay.address)) return `/underlay/address is no IPv4 address: ${underlay.address}`;
  if (uplink?.bridge === uplink?.device && uplink) {
    return `/uplink/bridge is ${uplink.bridge}, as /uplink/device: name the NIC in device, and in bridge the bridge that it is, or is to be, a port of`;
  }
  const stranger = servers.find((server) => !isIPv4(server));
  if (stranger !== undefined) return `/dns_servers has ${JSON.stringify(stranger)}, which is no IPv4 address`;
  if (!isHostName(domain)) return `/dns_domain ${JSON.stringify(domain)} is no domain name`;
  if (config.roles.includes('controller') && config.bootstrap_key_file === undefined)
    return 'a controller needs bootstrap_key_file, a file with the first key of namespace "system"';
  try {
    if (pool !== null) parsePool(pool);
  } catch (error) {
    return `/floating_pool: ${(error as Error).message}`;
  }
  return undefined;
}

/** Splits "host:port". */
export function hostAndPort(text: string): { host: string; port: number } {
  const at = text.lastIndexOf(':');
  return { host: text.slice(0, at), port: Number(text.slice(at + 1)) };
}
