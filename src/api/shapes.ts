// Records to JSON: the field names, the nulls and the order of keys that existing clients rely on.
import type { Static } from 'typebox';
import type { fistpath } from '#proto';
import { formatMac } from '../records/mac.ts';
import { stateName } from '../records/states.ts';
import type { Address, Event, Instance, Interface, Network, Node } from './objects.ts';

/** Protobuf has no null: an empty string means that there is nothing. */
function orNull(text: string): string | null {
  return text === '' ? null : text;
}

export function networkJson(record: fistpath.Network): Static<typeof Network> {
  return {
    uuid: record.uuid,
    name: record.name,
    vxid: record.vxid,
    vxlan_id: record.vxid,
    netblock: record.netblock,
    provide_dhcp: record.provideDhcp,
    provide_nat: record.provideNat,
    provide_dns: record.provideDns,
    floating_gateway: orNull(record.floatingGateway),
    namespace: record.namespace,
    state: stateName(record.state),
    metadata: record.metadata,
    version: record.version,
    mtu: record.mtu,
    router_mac: formatMac(record.routerMac),
    routed_addresses: record.routed,
    dns_entries: record.dnsEntries,
    error_message: orNull(record.error),
  };
}

export function interfaceJson(record: fistpath.Interface): Static<typeof Interface> {
  return {
    uuid: record.uuid,
    network_uuid: record.network,
    instance_uuid: record.instance,
    macaddr: formatMac(record.mac),
    ipv4: orNull(record.ipv4),
    order: record.order,
    floating: orNull(record.floating),
    model: record.model,
    state: stateName(record.state),
    metadata: record.metadata,
    version: record.version,
    error_message: orNull(record.error),
  };
}

/** No console or display exists yet, so those ports are null; `disks` and `agent_state` are empty for the same reason. */
export function instanceJson(
  record: fistpath.Instance,
  interfaces: fistpath.Interface[],
): Static<typeof Instance> {
  return {
    uuid: record.uuid,
    name: record.name,
    namespace: record.namespace,
    cpus: record.cpus,
    memory: record.memory,
    disk_spec: record.diskSpec.map((disk) => ({
      base: orNull(disk.base ?? ''),
      bus: orNull(disk.bus ?? ''),
      size: disk.size || null,
      type: disk.type || 'disk',
    })),
    video: { model: record.video?.model || 'cirrus', memory: record.video?.memory || 16384 },
    node: orNull(record.node),
    power_state: record.powerState,
    state: stateName(record.state),
    console_port: null,
    vdi_port: null,
    vdi_tls_port: null,
    ssh_key: orNull(record.sshKey),
    user_data: orNull(record.userData),
    metadata: record.metadata,
    uefi: record.uefi,
    secure_boot: record.secureBoot,
    nvram_template: orNull(record.nvramTemplate),
    side_channels: record.sideChannels,
    agent_state: null,
    error_message: orNull(record.error),
    machine_type: record.machineType || 'pc',
    configdrive: record.configdrive || 'openstack-disk',
    disks: [],
    version: record.version,
    interfaces: interfaces.map(interfaceJson),
  };
}

/** The roles that the original knows and this system does not have are false. */
export function nodeJson(record: fistpath.Node): Static<typeof Node> {
  const status = record.datapathStatus;
  return {
    name: record.name,
    uuid: record.name,
    ip: record.address,
    lastseen: record.lastSeen,
    state: stateName(record.state),
    release: record.release,
    version: record.version,
    is_etcd_master: false,
    is_hypervisor: record.hypervisor,
    is_network_node: record.networkNode,
    is_eventlog_node: false,
    is_cluster_maintainer: false,
    metadata: record.metadata,
    underlay_mtu: record.underlayMtu,
    datapath: {
      wanted: record.datapath,
      mode: orNull(status?.mode ?? ''),
      reason: orNull(status?.reason ?? ''),
      underlay_hook: orNull(status?.underlayHook ?? ''),
      problems: status?.problems ?? [],
      nat: orNull(status?.nat ?? ''),
      nat_reason: orNull(status?.natReason ?? ''),
    },
  };
}

/**
 * An event for either generation of clients. Those of 2020 read the name from `operation` and what was said from
 * `message`; those of 2024 (`newer`) read the name from `message` and everything else from `extra`. The fields
 * `operation`, `phase` and `duration` are the same in both.
 */
export function eventJson(record: fistpath.Event, newer: boolean): Static<typeof Event> {
  const detail: Record<string, string> = { ...record.extra };
  if (newer && record.phase !== '') detail.phase = record.phase;
  if (newer && record.message !== '') detail.message = record.message;
  return {
    timestamp: record.timestamp,
    fqdn: record.node,
    object_type: record.objectType,
    object_uuid: record.objectUuid,
    operation: record.operation,
    phase: orNull(record.phase),
    duration: record.duration ?? null,
    message: newer ? record.operation : orNull(record.message),
    type: record.type,
    extra: detail,
  };
}

export function addressJson(record: fistpath.Reservation): Static<typeof Address> {
  return {
    address: record.address,
    user: record.owner === '' ? [] : [record.ownerType, record.owner],
    when: record.when,
    type: record.type,
    comment: record.comment,
  };
}
