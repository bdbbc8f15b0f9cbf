/**
 * Traffic: what agents count, added up so that it never goes down (a device that was made again counts from zero), and
 * told as events of instances and networks now and then. In memory only.
 */
import { fistpath } from '#proto';
import type { RecordOf } from '../records/codec.ts';
import type { Change } from './cache.ts';
import { type Context, makeEvent } from './context.ts';
import type { Traffic, TrafficTotals, UsageNumbers } from './operations.ts';
import { findRouter } from './view.ts';

const { DELETED } = fistpath.State;

/** Events of one object are so far apart. */
const TELL_SECONDS = 900;
const CHECK_MS = 60_000;
/** Events of one transaction. */
const CHUNK = 500;

const KINDS = ['sent', 'received', 'sentOutside', 'receivedOutside'] as const;
type Kind = (typeof KINDS)[number];

interface Counters {
  network: string;
  instance: string;
  /** What the agents said last. */
  said: Partial<Record<Kind, Traffic>>;
  totals: TrafficTotals;
}

type Told = { when: number; extra: string };
type Object = { type: 'instance' | 'network'; uuid: string };

export class Usage {
  readonly #context: Context;
  readonly #interfaces = new Map<string, Counters>();
  readonly #networks = new Map<string, TrafficTotals>();
  readonly #flowTables = new Map<string, { used: number; capacity: number }>();
  /** Whose numbers have changed since they were told, by "type/uuid". */
  readonly #changed = new Map<string, Object>();
  readonly #told = new Map<string, Told>();
  readonly #timer: NodeJS.Timeout;
  #telling = false;

  constructor(context: Context) {
    this.#context = context;
    context.cache.onChange((changes) => this.#forget(changes));
    this.#timer = setInterval(() => void this.tell(), CHECK_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Takes what an agent says: of interfaces on its own node, and of the outside when it is the network node's. */
  take(node: string, { interfaces, outside, flowTable }: fistpath.IUsage): void {
    const { cache } = this.#context;
    if (flowTable)
      this.#flowTables.set(node, { used: flowTable.used ?? 0, capacity: flowTable.capacity ?? 0 });
    else this.#flowTables.delete(node);
    for (const { interface: uuid, sent, received } of interfaces ?? []) {
      const counters = this.#counters(uuid ?? '');
      if (!counters || cache.get('instance', counters.instance)?.node !== node) continue;
      this.#add(counters, 'sent', sent);
      this.#add(counters, 'received', received);
    }
    if (!outside?.length || findRouter(cache)?.name !== node) return;
    for (const { interface: uuid, sent, received } of outside) {
      const counters = this.#counters(uuid ?? '');
      if (!counters) continue;
      this.#add(counters, 'sentOutside', sent);
      this.#add(counters, 'receivedOutside', received);
    }
  }

  /** The latest numbers. */
  numbers(): UsageNumbers {
    const { cache } = this.#context;
    const namespaceOf = (network: string) => cache.get('network', network)?.namespace ?? '';
    const interfaces = [...this.#interfaces].map(([uuid, { network, instance, totals }]) => ({
      interface: uuid,
      instance,
      network,
      namespace: cache.get('instance', instance)?.namespace ?? '',
      ...copy(totals),
    }));
    const networks = [...this.#networks].map(([network, totals]) => ({
      network,
      namespace: namespaceOf(network),
      ...copy(totals),
    }));
    return {
      interfaces: interfaces.sort((a, b) => (a.interface < b.interface ? -1 : 1)),
      networks: networks.sort((a, b) => (a.network < b.network ? -1 : 1)),
      flowTables: [...this.#flowTables].flatMap(([node, table]) =>
        cache.get('node', node) ? { node, ...table } : [],
      ),
    };
  }

  /** Writes the events that are due. Never throws: what can't be written now is due again. */
  async tell(): Promise<void> {
    if (this.#telling) return;
    this.#telling = true;
    try {
      const due: Object[] = [];
      for (const [key, object] of this.#changed) {
        const told = this.#told.get(key) ?? (await this.#recall(object));
        // It may have gone while the store was read.
        if (!this.#changed.has(key)) continue;
        this.#told.set(key, told);
        if (this.#context.clock() - told.when >= TELL_SECONDS) due.push(object);
      }
      for (let from = 0; from < due.length; from += CHUNK) await this.#write(due.slice(from, from + CHUNK));
    } catch (error) {
      this.#context.log.warn({ error: (error as Error).message }, 'traffic could not be told');
    } finally {
      this.#telling = false;
    }
  }

  #counters(uuid: string): Counters | undefined {
    const record = this.#context.cache.get('interface', uuid);
    if (!record || record.state === DELETED) return undefined;
    const known = this.#interfaces.get(uuid);
    if (known) return known;
    const { network, instance } = record;
    const counters = { network, instance, said: {}, totals: nothing() };
    this.#interfaces.set(uuid, counters);
    return counters;
  }

  #add(counters: Counters, kind: Kind, said: fistpath.ITraffic | null | undefined): void {
    const now = { packets: Number(said?.packets ?? 0), bytes: Number(said?.bytes ?? 0) };
    const before = counters.said[kind];
    counters.said[kind] = now;
    const goesOn = before && now.packets >= before.packets && now.bytes >= before.bytes;
    const packets = now.packets - (goesOn ? before.packets : 0);
    const bytes = now.bytes - (goesOn ? before.bytes : 0);
    if (packets === 0 && bytes === 0) return;
    const { network, instance } = counters;
    const ofNetwork = this.#networks.get(network) ?? nothing();
    this.#networks.set(network, ofNetwork);
    for (const totals of [counters.totals, ofNetwork]) {
      totals[kind].packets += packets;
      totals[kind].bytes += bytes;
    }
    this.#changed.set(`network/${network}`, { type: 'network', uuid: network });
    this.#changed.set(`instance/${instance}`, { type: 'instance', uuid: instance });
  }

  /** What was told of an object before this controller started. */
  async #recall({ type, uuid }: Object): Promise<Told> {
    const events = await this.#context.events.list(type, uuid);
    const last = events.findLast((event) => event.type === 'usage');
    return { when: last?.timestamp ?? 0, extra: last ? JSON.stringify(last.extra) : '' };
  }

  async #write(objects: Object[]): Promise<void> {
    const { clock, events } = this.#context;
    const written: fistpath.Event[] = [];
    for (const { type, uuid } of objects) {
      const key = `${type}/${uuid}`;
      this.#changed.delete(key);
      const totals = this.#totals(type, uuid);
      // An object that is gone by now.
      if (!totals) continue;
      const extra = describe(totals);
      if (JSON.stringify(extra) === this.#told.get(key)?.extra) continue;
      this.#told.set(key, { when: clock(), extra: JSON.stringify(extra) });
      written.push(makeEvent(this.#context, type, uuid, 'usage', { type: 'usage', extra }));
    }
    try {
      await events.write(written);
    } catch (error) {
      for (const object of objects) {
        const key = `${object.type}/${object.uuid}`;
        this.#told.delete(key);
        this.#changed.set(key, object);
      }
      throw error;
    }
  }

  #totals(type: Object['type'], uuid: string): TrafficTotals | undefined {
    if (type === 'network') return this.#networks.get(uuid);
    const interfaces = this.#context.cache.get('instance', uuid)?.interfaces ?? [];
    const all = interfaces.flatMap((id) => this.#interfaces.get(id)?.totals ?? []);
    if (all.length === 0) return undefined;
    const sum = nothing();
    for (const totals of all) {
      for (const kind of KINDS) {
        sum[kind].packets += totals[kind].packets;
        sum[kind].bytes += totals[kind].bytes;
      }
    }
    return sum;
  }

  /** What is deleted says its last number, and counts no more. */
  #forget(changes: readonly Change[]): void {
    const gone = changes.filter(
      ({ table, after }) =>
        (table === 'instance' || table === 'network' || table === 'interface') && isGone(after),
    );
    const last = gone.flatMap(({ table, id }) => this.#changed.get(`${table}/${id}`) ?? []);
    const writing = last.length > 0 ? this.#write(last) : undefined;
    writing?.catch((error: Error) =>
      this.#context.log.warn({ error: error.message }, 'last traffic could not be told'),
    );
    for (const { table, id } of gone) {
      if (table === 'interface') this.#interfaces.delete(id);
      if (table === 'network') this.#networks.delete(id);
      this.#told.delete(`${table}/${id}`);
    }
  }
}

function isGone(record: Change['after']): boolean {
  return record === undefined || (record as RecordOf['interface']).state === DELETED;
}

function nothing(): TrafficTotals {
  const none = () => ({ packets: 0, bytes: 0 });
  return { sent: none(), received: none(), sentOutside: none(), receivedOutside: none() };
}

function copy(totals: TrafficTotals): TrafficTotals {
  const copied = nothing();
  for (const kind of KINDS) copied[kind] = { ...totals[kind] };
  return copied;
}

/** "sent_bytes", "received_outside_packets" … */
function describe(totals: TrafficTotals): Record<string, string> {
  const extra: Record<string, string> = {};
  for (const kind of KINDS) {
    const name = kind.replace('Outside', '_outside');
    extra[`${name}_packets`] = String(totals[kind].packets);
    extra[`${name}_bytes`] = String(totals[kind].bytes);
  }
  return extra;
}
