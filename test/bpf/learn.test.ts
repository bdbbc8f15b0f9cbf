import assert from 'node:assert/strict';
import { inChild } from './child.ts';
import type { LearnReport } from './learn-child.ts';

/** MACs of learn-child.ts's world, as `source > destination`. */
const OUT = '0600000000fe > 0a00000000cc';
const IN = { guest1: '0200000000fe > 020000000010', guest2: '0200000000fe > 020000000011' };
const SERVER = '198.51.100.1';

describe('learn, with real routers', () => {
  let whole: LearnReport;
  let report: LearnReport['steps'];
  before(async () => {
    whole = await inChild<LearnReport>('learn-child.ts', {}, 100);
    report = whole.steps;
  });
  const flowsAre = (name: string, expected: string[]): void =>
    assert.deepEqual(report[name]!.flows, expected.sort(), JSON.stringify(report[name], null, 2));
  const counts = (name: string, reason: string): number => report[name]!.reasons[reason] ?? 0;

  /** Both directions of guest2 towards the server, by network 1's gateway. */
  const byGateway = (protocol: string, port: number, target: number, generation = 10): string[] => [
    `1 ${protocol} 10.0.0.11:${port} > ${SERVER}:${target} = 10.10.0.2:${port} > ${SERVER}:${target}, vni 1 generation ${generation}, account 1 outside, ${OUT}`,
    `0 ${protocol} ${SERVER}:${target} > 10.10.0.2:${port} = ${SERVER}:${target} > 10.0.0.11:${port}, vni 1 generation ${generation}, account 1, ${IN.guest2}`,
  ];

  it('UDP that was answered: both directions, exactly', () => {
    flowsAre('UDP', byGateway('udp', 5001, 5301));
    assert.ok(counts('UDP', 'LEARNED') >= 2 && counts('UDP', 'NO_REPLY') >= 1);
  });

  it('TCP: both directions, exactly', () => {
    flowsAre('TCP', byGateway('tcp', 5002, 8000));
  });

  it('echo: both directions, told apart by their type', () => {
    flowsAre('echo', [
      `1 icmp 10.0.0.11:77 > ${SERVER}:8 = 10.10.0.2:77 > ${SERVER}:8, vni 1 generation 10, account 1 outside, ${OUT}`,
      `0 icmp ${SERVER}:77 > 10.10.0.2:0 = ${SERVER}:77 > 10.0.0.11:0, vni 1 generation 10, account 1, ${IN.guest2}`,
    ]);
  });

  it('two echoes with the same identifier: the second gets another one outside', () => {
    const flows = report['two echoes with one identifier']!.flows;
    assert.equal(flows.length, 4, flows.join('\n'));
    const second = flows.find((line) => line.startsWith('1 icmp 10.0.0.12:88 > '))!;
    const identifier = /= 10\.10\.0\.2:(\d+) /.exec(second)?.[1];
    assert.ok(identifier !== undefined && identifier !== '88', flows.join('\n'));
    const answer = `0 icmp ${SERVER}:${identifier} > 10.10.0.2:0 = ${SERVER}:88 > 10.0.0.12:0,`;
    assert.ok(
      flows.some((line) => line.startsWith(answer)),
      flows.join('\n'),
    );
  });

  it('a port scan, answered or not, and UDP without an answer leave nothing', () => {
    for (const name of ['unanswered SYN', 'refused SYN', 'UDP without an answer']) {
      flowsAre(name, []);
      assert.equal(counts(name, 'LEARNED'), 0, name);
    }
    assert.ok(counts('unanswered SYN', 'NO_REPLY') + counts('unanswered SYN', 'CLOSING') >= 3);
    assert.ok(counts('UDP without an answer', 'NO_REPLY') >= 1);
  });

  it('FIN, and RST, remove both directions', () => {
    flowsAre('before FIN', byGateway('tcp', 5003, 8001));
    flowsAre('FIN', []);
    flowsAre('before RST', byGateway('tcp', 5004, 8002));
    flowsAre('RST', []);
    assert.ok(counts('FIN', 'CLOSING') >= 2 && counts('RST', 'CLOSING') >= 1);
  });

  it('floating addresses: out as itself, and in', () => {
    flowsAre('floating, from inside', [
      `1 tcp 10.0.0.10:5005 > ${SERVER}:8003 = 10.10.0.50:5005 > ${SERVER}:8003, vni 1 generation 10, account 0 outside, ${OUT}`,
      `0 tcp ${SERVER}:8003 > 10.10.0.50:5005 = ${SERVER}:8003 > 10.0.0.10:5005, vni 1 generation 10, account 0, ${IN.guest1}`,
    ]);
    flowsAre('floating, from outside', [
      `0 tcp ${SERVER}:6000 > 10.10.0.50:80 = ${SERVER}:6000 > 10.0.0.10:80, vni 1 generation 10, account 0, ${IN.guest1}`,
      `1 tcp 10.0.0.10:80 > ${SERVER}:6000 = 10.10.0.50:80 > ${SERVER}:6000, vni 1 generation 10, account 0 outside, ${OUT}`,
    ]);
  });

  it("hairpin to a neighbour's floating address: nobody's traffic with the outside", () => {
    const rest = 'vni 1 generation 10, account none';
    flowsAre('hairpin in one network', [
      `1 tcp 10.0.0.10:81 > 10.10.0.2:5006 = 10.10.0.50:81 > 10.0.0.11:5006, ${rest}, ${IN.guest2}`,
      `1 tcp 10.0.0.11:5006 > 10.10.0.50:81 = 10.10.0.2:5006 > 10.0.0.10:81, ${rest}, ${IN.guest1}`,
    ]);
  });

  it('hairpin between networks: each router learns its half, each way', () => {
    flowsAre('hairpin between two networks', [
      '0 tcp 10.10.0.2:5007 > 10.10.0.60:82 = 10.10.0.2:5007 > 10.0.0.10:82, vni 2 generation 20, account 2, 0200000000fd > 020000000010',
      `0 tcp 10.10.0.60:82 > 10.10.0.2:5007 = 10.10.0.60:82 > 10.0.0.11:5007, vni 1 generation 10, account 1, ${IN.guest2}`,
      '1 tcp 10.0.0.11:5007 > 10.10.0.60:82 = 10.10.0.2:5007 > 10.10.0.60:82, vni 1 generation 10, account 1 hairpin, 0600000000fe > 0600000000fd',
      '2 tcp 10.0.0.10:82 > 10.10.0.2:5007 = 10.10.0.60:82 > 10.10.0.2:5007, vni 2 generation 20, account 2 hairpin, 0600000000fd > 0600000000fe',
    ]);
  });

  it('the same five numbers in two networks: two flows each', () => {
    const keys = report['the same five numbers in both networks']!.flows.map((line) => line.split(' = ')[0]);
    assert.deepEqual(keys, [
      `0 udp ${SERVER}:5302 > 10.10.0.50:5008`,
      `0 udp ${SERVER}:5302 > 10.10.0.60:5008`,
      `1 udp 10.0.0.10:5008 > ${SERVER}:5302`,
      `2 udp 10.0.0.10:5008 > ${SERVER}:5302`,
    ]);
  });

  it("not learned: the router's own packets, the node's, IPv6, connections with a helper", () => {
    flowsAre('the router itself', []);
    assert.ok(counts('the router itself', 'NO_CONNECTION') >= 3);
    flowsAre('ICMP errors', []);
    flowsAre('FTP', []);
    flowsAre('IPv6', []);
    assert.ok(counts('IPv6', 'NO_CONNECTION') >= 6);
    assert.ok(counts('FTP', 'ALG') >= 3);
    const fromNode = report['the node itself']!.flows.filter((line) => line.includes('0a00000000bb'));
    assert.deepEqual(fromNode, []);
  });

  it('a new generation is recorded with the next packet each way, and the counts go on', () => {
    flowsAre('before another generation', byGateway('tcp', 5010, 8004));
    const flows = report['another generation']!.flows;
    const counts = flows.map((line) => /, packets (\d)$/.exec(line)?.[1]);
    assert.deepEqual(new Set(counts), new Set(['7', '8']));
    const rest = flows.map((line) => line.replace(/, packets \d$/, ''));
    assert.deepEqual(rest, byGateway('tcp', 5010, 8004, 99).sort());
  });

  it('stays verifiable', () => {
    const { instructions, verifiedInstructions } = whole;
    assert.ok(instructions > 0 && instructions <= 1300, `${instructions} instructions`);
    assert.ok(verifiedInstructions <= 100_000, `${verifiedInstructions} steps`);
  });
});
