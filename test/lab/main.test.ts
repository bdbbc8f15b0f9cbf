import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { processesOf, tryRun } from './process.ts';
import { nodeScript } from './repository.ts';
import { ownName, sweepDead, Topology } from './topology.ts';

describe('npm run lab', function () {
  this.timeout(60_000);
  const name = ownName('test');
  const { directory } = new Topology(name);
  const lab = (args: readonly string[], env: Record<string, string> = {}) =>
    tryRun([...nodeScript('lab/main'), '--name', name, ...args], { env, timeout: 50_000 });

  before(sweepDead);
  after(() => new Topology(name).down());

  it('performs the worked example, whatever a killed run left behind', async () => {
    const [program, ...args] = [...nodeScript('lab/main'), '--name', name];
    const killed = spawn(program!, args, { stdio: 'ignore' });
    await delay(4000);
    killed.kill('SIGKILL');
    assert.ok(existsSync(directory), 'nothing was there yet when it was killed');

    const { code, stdout, stderr } = await lab([]);
    assert.equal(code, 0, stdout + stderr);
    for (const expected of [
      /^sf-1 # fistpath network create 192\.168\.0\.0\/24 demonet --no-dhcp --no-nat\nuuid {8}: /m,
      /^state {7}: initial$/m,
      /^state {7}: created$/m,
      /create vxlan interface .* finish/,
      /^sf-1 # ip addr show vxlan-1\n\d+: vxlan-1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 8950 /m,
      /^sf-1 # bridge fdb show brport vxlan-1\n(.*\n)*00:00:00:00:00:00 dst 10\.2\.1\.12 self/m,
      /^sf-1 # fistpath instance create inst-on-sf-2 1 1024 -d 8@cirros -n \S+ -p sf-2$/m,
      /^sf-3 # bridge fdb show brport vxlan-1$/m,
      /^inst-on-sf-2 # ping -c 3 192\.168\.0\.\d+\n(.*\n)*3 packets transmitted, 3 received/m,
      /^inst-on-sf-3 # ping -c 3 192\.168\.0\.\d+\n(.*\n)*3 packets transmitted, 3 received/m,
      /Gbits\/sec .*receiver/,
      /\| port +\| tunnel +\| to tunnel +\| +\d+ \|/,
      /^sf-1 # fistpath network create 192\.168\.1\.0\/24 natnet --dns$/m,
      /^told router=192\.168\.1\.1$/m,
      /^web # ping -c 3 198\.51\.100\.1\n(.*\n)*3 packets transmitted, 3 received/m,
      /^sf-1 # fistpath interface float /m,
      /^server # ping -c 3 10\.10\.0\.\d+\n(.*\n)*3 packets transmitted, 3 received/m,
      /^sf-1 # fistpath nat status$/m,
      /^ {2}npm run lab -- down/m,
    ]) {
      assert.match(stdout, expected);
    }
  });

  it('can be used afterwards: status, commands on nodes and in instances', async () => {
    const status = await lab(['status']);
    assert.equal(status.code, 0);
    assert.match(status.stdout, /^sf-3 .*fistpathd: pid \d+/m);
    assert.equal((await lab(['shell', 'sf-2', 'hostname'])).stdout, 'sf-2\n');
    const list = await lab(['shell', 'sf-3', 'fistpath', 'network', 'list', '--json']);
    assert.match(list.stdout, /"name": *"demonet"/);
    assert.match((await lab(['guest', 'inst-on-sf-2', 'ip', 'addr'])).stdout, /192\.168\.0\.\d+\/24/);
    assert.equal((await lab(['shell', 'sf-2', 'sh', '-c', 'exit 7'])).code, 7);
  });

  it('says what failed, with its output', async () => {
    const bin = mkdtempSync(join(tmpdir(), 'fistpath-'));
    try {
      writeFileSync(join(bin, 'ping'), '#!/bin/sh\necho no ping today\nexit 3\n');
      chmodSync(join(bin, 'ping'), 0o755);
      const { code, stderr } = await lab([], { PATH: `${bin}:${process.env.PATH}` });
      assert.equal(code, 1);
      assert.match(stderr, /on inst-on-sf-2: `ping -c 3 \S+` ended with exit code 3:\nno ping today/);
    } finally {
      rmSync(bin, { recursive: true });
    }
    assert.equal((await lab(['--ports', 'serial'])).code, 2);
    assert.equal((await lab(['shell', 'sf-9', 'true'])).code, 1);
  });

  it('leaves no trace after down', async () => {
    assert.equal((await lab(['down'])).code, 0);
    assert.deepEqual(processesOf(directory), []);
    assert.equal(existsSync(directory), false);
    assert.equal((await lab(['down'])).code, 0);
    assert.equal((await lab(['status'])).code, 1);
  });
});
