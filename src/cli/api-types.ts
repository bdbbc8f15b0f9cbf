/** What the API answers, as far as this program looks at it. Everything else is passed on by --json. */
export interface Network {
  uuid: string;
  name: string;
  vxid: number;
  netblock: string;
  provide_dhcp: boolean;
  provide_nat: boolean;
  provide_dns?: boolean;
  floating_gateway?: string | null;
  routed_addresses?: string[];
  dns_entries?: Record<string, string>;
  namespace: string;
  state: string;
  metadata: Record<string, string>;
  error_message?: string | null;
  router_mac: string;
}

export interface Interface {
  uuid: string;
  network_uuid: string;
  instance_uuid: string;
  macaddr: string;
  ipv4: string | null;
  order: number;
  floating: string | null;
  model: string;
  state: string;
  metadata: Record<string, string>;
  error_message?: string | null;
}

export interface Instance {
  uuid: string;
  name: string;
  namespace: string;
  cpus: number;
  memory: number;
  disk_spec: Record<string, unknown>[];
  node: string | null;
  power_state: string;
  state: string;
  console_port: number | null;
  vdi_port: number | null;
  ssh_key: string | null;
  user_data: string | null;
  metadata: Record<string, string>;
  error_message?: string | null;
  interfaces: Interface[];
}

export interface Event {
  timestamp: number;
  fqdn: string;
  operation: string;
  phase: string | null;
  duration: number | null;
  message: string | null;
}

export interface Node {
  name: string;
  ip: string;
  lastseen: number;
  state: string;
  release: string;
  is_hypervisor: boolean;
  is_network_node: boolean;
  underlay_mtu?: number;
  metadata: Record<string, string>;
  datapath?: {
    wanted: string;
    mode: string | null;
    reason: string | null;
    underlay_hook: string | null;
    problems: string[];
    nat?: string | null;
    nat_reason?: string | null;
  };
}
