import type { Cluster, Instance, Mode, Network } from './cluster.ts';
import { DHCP_CLIENT, GUEST_DEVICE, type Guest } from './guest.ts';
import { SERVER_ADDRESS } from './outside.ts';
import { tryRun, until } from './process.ts';
import type { LabNode } from './topology.ts';

/** A command of the example that failed. */
export class StepError extends Error {}

/**
 * Performs the worked example "a virtual network with no DHCP and no NAT", then a short one with both, and prints every
 * command and answer.
 */
export class WorkedExample {
  readonly #cluster: Cluster;
  readonly #mode: Mode;
  readonly #print: (text: string) => void;

  /** `mode`: the datapath that the nodes run. */
  constructor(cluster: Cluster, mode: Mode, print: (text: string) => void) {
    this.#cluster = cluster;
    this.#mode = mode;
    this.#print = print;
  }

  async perform(): Promise<void> {
    await this.#withoutServices();
    await this.#withNat();
  }

  async #withoutServices(): Promise<void> {
    const [sf1, sf2, sf3] = this.#cluster.nodes as [LabNode, LabNode, LabNode];
    this.#say('A virtual network with no DHCP and no NAT:');
    const network = await this.#createNetwork(sf1, 'demonet', '192.168.0.0/24 demonet --no-dhcp --no-nat');
    await this.#on(sf1, `fistpath network show ${network.uuid}`);
    await this.#on(sf1, `fistpath network events ${network.uuid}`);
    const x = network.vxid.toString(16);

    this.#say(`On the network node (sf-1) it has a VXLAN device, a bridge and a router namespace:`);
    await this.#on(sf1, `ip addr show vxlan-${x}`);
    await this.#on(sf1, `ip addr show br-vxlan-${x}`);
    await this.#on(sf1, `bridge fdb show brport vxlan-${x}`);
    await this.#on(sf1, `ip netns exec ${network.uuid} ip addr list`);

    this.#say('An instance on sf-2 brings the network there, and the mesh grows:');
    const two = await this.#createInstance(sf1, 'inst-on-sf-2', network, sf2);
    await this.#on(sf1, `bridge fdb show brport vxlan-${x}`);
    await this.#on(sf2, `ip addr show vxlan-${x}`);
    await this.#on(sf2, `ip addr show br-vxlan-${x}`);
    await this.#on(sf2, `bridge fdb show brport vxlan-${x}`);

    this.#say('And one on sf-3. Each node lists the others, never itself, and every known MAC:');
    const three = await this.#createInstance(sf1, 'inst-on-sf-3', network, sf3);
    for (const node of [sf1, sf2, sf3]) await this.#on(node, `bridge fdb show brport vxlan-${x}`);

    this.#say('The two instances talk:');
    await this.#in(two, 'inst-on-sf-2', `ip addr list`);
    await this.#in(two, 'inst-on-sf-2', `ping -c 3 ${three.address.ipv4}`);
    await this.#in(three, 'inst-on-sf-3', `ping -c 3 ${two.address.ipv4}`);
    three.start('iperf3', ['iperf3', '--server', '--one-off']);
    await until('iperf3 listens', async () => (await three.run(['ss', '-Hltn', 'sport = :5201'])) !== '');
    await this.#in(two, 'inst-on-sf-2', `iperf3 --client ${three.address.ipv4} --time 2`);

    if (this.#mode === 'ebpf') {
      this.#say('What the fast path carried, and what it left to the kernel, by reason:');
      await this.#on(sf2, 'fistpath counters');
      await this.#on(sf3, 'fistpath counters');
    }
    this.#say(
      `What the kernel carried. TX of vxlan-${x} is what the kernel itself put into the tunnel, RX what it took out
(with the fast path that includes TCP, which the tunnel program then passes straight to the port, past the bridge):`,
    );
    for (const node of [sf2, sf3]) await this.#on(node, `ip -s -h link show vxlan-${x}`);
    this.#say('Wanted, kernel and fast-path entries side by side:');
    await this.#on(sf2, `fistpath fdb show ${network.name}`);
    await this.#on(sf2, 'fistpath status');
  }

  async #withNat(): Promise<void> {
    const [sf1, , sf3] = this.#cluster.nodes as [LabNode, LabNode, LabNode];
    this.#say('A network with DHCP and NAT, as they are by default, and names:');
    const network = await this.#createNetwork(sf1, 'natnet', '192.168.1.0/24 natnet --dns');
    const guest = await this.#createInstance(sf1, 'web', network, sf3);
    await guest.run(['ip', 'address', 'flush', 'dev', GUEST_DEVICE]);
    this.#say(
      'Its instance asks for an address, and reaches a server outside, as the gateway of the network:',
    );
    await this.#in(guest, 'web', DHCP_CLIENT.join(' '));
    await this.#in(guest, 'web', `ping -c 3 ${SERVER_ADDRESS}`);

    this.#say('With a floating address it is reached from there:');
    const { interfaces } = await this.#instance(guest.namespace);
    await this.#on(sf1, `fistpath interface float ${interfaces[0]!.uuid}`);
    const { floating } = (await this.#instance(guest.namespace)).interfaces[0]!;
    await this.#in(this.#cluster.server, 'server', `ping -c 3 ${floating}`);
    await this.#on(sf1, `fistpath nat status`);
    if (this.#mode === 'ebpf') await this.#on(sf1, `fistpath flow list`);
  }

  #instance(uuid: string): Promise<Instance> {
    return this.#cluster.rest.call<Instance>('GET', `/instances/${uuid}`);
  }

  async #createNetwork(sf1: LabNode, name: string, args: string): Promise<Network> {
    const uuid = uuidIn(await this.#on(sf1, `fistpath network create ${args}`));
    let network: Network | undefined;
    await until(`network ${name} is created`, async () => {
      network = await this.#cluster.rest.call<Network>('GET', `/networks/${uuid}`);
      if (network.state === 'error') throw new StepError(`network ${name}: ${network.error_message}`);
      return network.state === 'created';
    });
    return network!;
  }

  async #createInstance(sf1: LabNode, name: string, network: Network, place: LabNode): Promise<Guest> {
    const command = `fistpath instance create ${name} 1 1024 -d 8@cirros -n ${network.uuid} -p ${place.name}`;
    const uuid = uuidIn(await this.#on(sf1, command));
    let instance: Instance | undefined;
    await until(`instance ${name} is created`, async () => {
      instance = await this.#instance(uuid);
      if (instance.state === 'error') throw new StepError(`instance ${name}: ${instance.error_message}`);
      return instance.state === 'created';
    });
    return this.#cluster.guestOf(instance!, network);
  }

  #say(text: string): void {
    this.#print(`\n${text}`);
  }

  #on(node: LabNode, text: string): Promise<string> {
    return this.#step(node.name, text, node.enter(['sh', '-c', text]), this.#cluster.cliEnvironment(node));
  }

  #in(guest: Guest, name: string, text: string): Promise<string> {
    return this.#step(name, text, guest.node.enter(['sh', '-c', text], guest.namespace), {});
  }

  async #step(where: string, text: string, command: string[], env: Record<string, string>): Promise<string> {
    this.#print(`\n${where} # ${text}`);
    const { code, stdout, stderr } = await tryRun(command, { env, timeout: 60_000 });
    this.#print(`${stdout}${stderr}`.trimEnd());
    if (code !== 0)
      throw new StepError(`on ${where}: \`${text}\` ended with exit code ${code}:\n${stdout}${stderr}`);
    return stdout;
  }
}

function uuidIn(text: string): string {
  const match = /^uuid\s*: (\S+)/m.exec(text);
  if (match === null) throw new StepError(`no uuid in this answer:\n${text}`);
  return match[1]!;
}
