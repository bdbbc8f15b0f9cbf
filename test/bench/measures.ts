import { compileTool } from '../lab/compile.ts';
import type { Guest } from '../lab/guest.ts';
import { type ProcessId, stop, until } from '../lab/process.ts';

const [UDP_PORT, TCP_PORT] = [7001, 7002];
const ROUND_TRIPS = 5000;
/** How long rates are measured. */
export const SECONDS = 1;

/** Gbit/s of one TCP connection; `args` for the client. */
export async function bulk(from: Guest, to: Guest, args: readonly string[] = []): Promise<number> {
  const server = to.start('iperf3', ['iperf3', '--server', '--one-off']);
  try {
    await listening(to, 'tcp', 5201);
    const client = ['iperf3', '--client', to.address.ipv4, '--time', String(SECONDS), '--json', ...args];
    const { end } = JSON.parse(await from.run(client)) as {
      end: { sum_received: { bits_per_second: number } };
    };
    return end.sum_received.bits_per_second / 1e9;
  } finally {
    await stop(server);
  }
}

async function listening(guest: Guest, protocol: 'tcp' | 'udp', port: number): Promise<void> {
  const list = ['ss', '-Hln', protocol === 'tcp' ? '-t' : '-u', `sport = :${port}`];
  await until(`port ${port} is open`, async () => (await guest.run(list)) !== '');
}

/** Microseconds of one byte there and back, as rows. */
export async function roundTrip(
  from: Guest,
  to: Guest,
  protocol: 'udp' | 'tcp',
  suffix = '',
): Promise<Record<string, number>> {
  const tool = await compileTool('bench/roundtrip');
  const port = protocol === 'udp' ? UDP_PORT : TCP_PORT;
  const server: ProcessId = to.start('roundtrip', [tool, 'server', protocol, String(port)]);
  try {
    await listening(to, protocol, port);
    const client = [tool, 'client', protocol, to.address.ipv4, String(port), String(ROUND_TRIPS)];
    const { p50, p99 } = JSON.parse(await from.run(client)) as { p50: number; p99: number };
    const name = `${protocol.toUpperCase()} round trip`;
    return { [`${name} p50${suffix}`]: p50 / 1000, [`${name} p99${suffix}`]: p99 / 1000 };
  } finally {
    await stop(server);
  }
}
