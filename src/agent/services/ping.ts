/** `network ping`: asks the kernel of a router's namespace whether an address answers. */
import { isIPv4 } from 'node:net';
import type { fistpath } from '#proto';
import { type Run, runTool } from '../kernel/run.ts';

/** At a time: each is a process for some seconds. */
const MOST = 4;
/** Ten requests in two seconds, and a third for the last answers. */
const PING = ['ping', '-n', '-c', '10', '-i', '0.2', '-w', '3'];

export class Pings {
  readonly #run: Run;
  #running = 0;

  constructor(run: Run = runTool) {
    this.#run = run;
  }

  /**
   * Never rejects: what prevents it is the answer's stderr.
   * @param networks of this node
   */
  async ping(
    request: fistpath.IPingRequest,
    networks: ReadonlyMap<string, fistpath.INodeNetwork>,
  ): Promise<fistpath.IPingReply> {
    const { id } = request;
    const network = request.network ?? '';
    const address = request.address ?? '';
    const refuse = (stderr: string) => ({ id, stdout: '', stderr: `${stderr}\n` });
    if (!isIPv4(address)) return refuse(`${JSON.stringify(address)} is not an IPv4 address`);
    if (!networks.get(network)?.router) return refuse(`the router of network ${network} is not on this node`);
    if (this.#running >= MOST) return refuse(`${MOST} pings run already: try again in some seconds`);
    this.#running++;
    try {
      // Not `ip netns exec`: see the kernel path's own way into a namespace.
      const words = [`--net=/run/netns/${network}`, ...PING, address];
      const { stdout, stderr } = await this.#run('nsenter', words);
      return { id, stdout, stderr };
    } catch (error) {
      return refuse((error as Error).message);
    } finally {
      this.#running--;
    }
  }
}
