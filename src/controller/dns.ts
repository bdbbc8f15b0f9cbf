import type { fistpath } from '#proto';
import { RequestError } from '../records/errors.ts';
import { checkEntryName, domainOf } from '../records/hostname.ts';
import { formatAddress, parseAddress } from '../records/netblock.ts';
import { revise } from '../records/revise.ts';
import { type Context, makeEvent } from './context.ts';
import { mustBeLive } from './networks.ts';
import type { Caller } from './operations.ts';
import { find } from './references.ts';

/** Per network. */
const MOST_ENTRIES = 256;

/** Names that a network's DNS answers besides those of its instances. */
export class DnsEntries {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /** RequestError 'malformed' for a network without DNS, a name that is no host name, or a value that is no IPv4 address. */
  async set(caller: Caller, reference: string, name: string, value: string): Promise<void> {
    const address = formatAddress(parseAddress(value));
    await this.#change(caller, reference, 'set dns', `${name} ${address}`, (network) => {
      const entry = checkEntryName(name, domainOf(network.namespace, this.#context.dnsDomain));
      if (network.dnsEntries[entry] === address) return undefined;
      const after = { ...network.dnsEntries, [entry]: address };
      if (Object.keys(after).length > MOST_ENTRIES) {
        const text = `network ${network.name} (${network.uuid}) can have ${MOST_ENTRIES} DNS entries, no more`;
        throw new RequestError('no-capacity', text);
      }
      return after;
    });
  }

  /** RequestError 'not-found' when there is no such entry. */
  async delete(caller: Caller, reference: string, name: string): Promise<void> {
    await this.#change(caller, reference, 'delete dns', name, (network) => {
      const { [name.toLowerCase()]: _, ...others } = network.dnsEntries;
      if (Object.hasOwn(network.dnsEntries, name.toLowerCase())) return others;
      const text = `network ${network.name} (${network.uuid}) has no DNS entry ${JSON.stringify(name)}`;
      throw new RequestError('not-found', text);
    });
  }

  async #change(
    caller: Caller,
    reference: string,
    phase: string,
    message: string,
    change: (network: fistpath.Network) => Record<string, string> | undefined,
  ): Promise<void> {
    await this.#context.writer.run((draft) => {
      const network = find(this.#context, caller, 'network', reference);
      const { uuid, name } = network;
      mustBeLive(network);
      if (!network.provideDns) {
        const text = `network ${name} (${uuid}) was created without provide_dns: nothing answers DNS there`;
        throw new RequestError('malformed', text);
      }
      const dnsEntries = change(network);
      if (!dnsEntries) return;
      draft.put('network', uuid, revise('network', network, { dnsEntries }));
      draft.events.push(makeEvent(this.#context, 'network', uuid, 'api', { phase, message, type: 'audit' }));
    });
  }
}
