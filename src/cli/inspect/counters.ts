/** The fast path's counters in words, and their rates. */
import { Program, Reason, ReasonGroup } from '../../agent/datapath/abi.ts';
import { readSlots, word } from './annotate.ts';
import type { NameBook } from './name-book.ts';
import type { PinnedMaps } from './pinned-maps.ts';

/** Since the maps were made; or per second. */
export interface Traffic {
  packets: number;
  bytes: number;
}

export type VerdictWord = 'port' | 'tunnel' | 'uplink' | 'router' | 'kernel' | 'drop';
const VERDICTS: VerdictWord[] = ['port', 'tunnel', 'uplink', 'router', 'kernel', 'drop'];

export interface Counters {
  programs: ({ program: string; verdict: VerdictWord; reason: string } & Traffic)[];
  ports: {
    device: string;
    vni: number | null;
    network: string | null;
    interface: string | null;
    instance: string | null;
    sent: Record<VerdictWord, Traffic>;
    received: Traffic;
  }[];
  /** Drops that happened too often to be told one by one. */
  events: { reason: string; suppressed: number; lost: number }[];
}

/** The same rule as verdict_of() in bpf/count.h. */
export function verdictOf(reason: number): VerdictWord {
  if (reason === Reason.TO_PORT) return 'port';
  if (reason === Reason.TO_TUNNEL) return 'tunnel';
  if (reason === Reason.TO_UPLINK) return 'uplink';
  if (reason < ReasonGroup.REASON_KERNEL) return 'router';
  return reason < ReasonGroup.REASON_DROP ? 'kernel' : 'drop';
}

function busy(traffic: Traffic): boolean {
  return traffic.packets > 0;
}

function portIsBusy(port: Counters['ports'][number]): boolean {
  return busy(port.received) || Object.values(port.sent).some(busy);
}

/** Reads all counters; with all, those that are zero and belong to a port or a reason, too. */
export function readCounters(maps: PinnedMaps, book: NameBook, all: boolean): Counters {
  const programs = (maps.rowsOf('counters') ?? [])
    .filter(({ key }) => Number(key) < Program.MAX * Reason.MAX)
    .map(({ key, value }) => {
      const reason = Number(key) % Reason.MAX;
      const program = word(Program, Math.floor(Number(key) / Reason.MAX));
      return {
        program,
        verdict: verdictOf(reason),
        reason: word(Reason, reason),
        ...(value as unknown as Traffic),
      };
    });
  const slots = readSlots(maps);
  const ports = (maps.rowsOf('port_counters', true) ?? []).map(({ key, value }) => {
    const port = slots.ports.get(Number(key));
    const device =
      port === undefined ? `slot ${Number(key)}` : (book.device(port.ifindex) ?? `device ${port.ifindex}`);
    const { sent, received } = value as unknown as { sent: Traffic[]; received: Traffic };
    return {
      device,
      vni: port?.vni ?? null,
      network: port === undefined ? null : (book.network(port.vni)?.name ?? null),
      interface: book.port(device)?.interface || null,
      instance: book.port(device)?.instance || null,
      sent: Object.fromEntries(VERDICTS.map((verdict, i) => [verdict, sent[i]!])) as Record<
        VerdictWord,
        Traffic
      >,
      received,
    };
  });
  const events = (maps.rowsOf('event_gates', true) ?? []).map(({ key, value }) => {
    const { suppressed, lost } = value as { suppressed: number; lost: number };
    return { reason: word(Reason, Number(key)), suppressed, lost };
  });
  return {
    programs: programs.filter((one) => all || busy(one)),
    ports,
    events: events.filter((one) => all || one.suppressed > 0 || one.lost > 0),
  };
}

/** What happened between two readings, per second. */
export function perSecond(before: Counters, after: Counters, seconds: number, all: boolean): Counters {
  const rate = (was: Traffic | undefined, is: Traffic): Traffic => ({
    packets: Math.round((is.packets - (was?.packets ?? 0)) / seconds),
    bytes: Math.round((is.bytes - (was?.bytes ?? 0)) / seconds),
  });
  const programs = after.programs.map((one) => {
    const was = before.programs.find((each) => each.program === one.program && each.reason === one.reason);
    return { ...one, ...rate(was, one) };
  });
  const ports = after.ports.map((one) => {
    const was = before.ports.find(({ device }) => device === one.device);
    const sent = Object.fromEntries(
      VERDICTS.map((verdict) => [verdict, rate(was?.sent[verdict], one.sent[verdict])]),
    );
    return {
      ...one,
      sent: sent as Record<VerdictWord, Traffic>,
      received: rate(was?.received, one.received),
    };
  });
  const events = after.events.map((one) => {
    const was = before.events.find(({ reason }) => reason === one.reason);
    const suppressed = Math.round((one.suppressed - (was?.suppressed ?? 0)) / seconds);
    return { ...one, suppressed, lost: Math.round((one.lost - (was?.lost ?? 0)) / seconds) };
  });
  return {
    programs: programs.filter((one) => all || busy(one)),
    ports: ports.filter((one) => all || portIsBusy(one)),
    events: events.filter((one) => all || one.suppressed > 0 || one.lost > 0),
  };
}
