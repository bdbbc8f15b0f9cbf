import type { fistpath } from '#proto';
import { RequestError } from '../records/errors.ts';
import { FLOATING } from '../records/keys.ts';
import { formatAddress, type Netblock, parseAddress, parseBlock } from '../records/netblock.ts';
import type { Context } from './context.ts';
import { mustBeLive } from './networks.ts';
import type { Caller } from './operations.ts';
import { find } from './references.ts';

/** What ping prints is short; what an agent says need not be. */
const LONGEST = 65_536;

type Ask = (network: string, address: string) => Promise<fistpath.IPingReply>;

/** Pings an address of a network, or of the floating network, from the network's router; `ask` has the agent do it. */
export async function pingFrom(
  context: Context,
  ask: Ask,
  caller: Caller,
  reference: string,
  text: string,
): Promise<{ stdout: string; stderr: string }> {
  const network = find(context, caller, 'network', reference);
  mustBeLive(network);
  if (network.uuid === FLOATING) {
    throw new RequestError(
      'malformed',
      `network ${FLOATING} has no router to ping from: name another network`,
    );
  }
  const address = parseAddress(text);
  const floating = context.cache.get('network', FLOATING);
  const blocks = [network.netblock, ...(floating ? [floating.netblock] : [])];
  if (!blocks.some((block) => isUsable(address, parseBlock(block)))) {
    throw new RequestError(
      'malformed',
      `address ${text} is none of network ${network.name}'s or of the floating network's (${blocks.join(', ')})`,
    );
  }
  const { stdout, stderr } = await ask(network.uuid, formatAddress(address));
  return { stdout: (stdout ?? '').slice(0, LONGEST), stderr: (stderr ?? '').slice(0, LONGEST) };
}

function isUsable(address: number, { first, last }: Netblock): boolean {
  return address > first && address < last;
}
