/** The files of a Cassandra node for tests: small, quick to start, on one loopback address. */

/** `batch`: an acked write survives `kill -9`. `periodic` (ten seconds) is cheaper and may lose the last ones. */
export type CommitLog = 'periodic' | 'batch'

export type NodeConfig = {
  readonly address: string
  readonly seed: string
  readonly storagePort: number
  readonly port: number
  /** Of its one range of the ring. */
  readonly token: string
  readonly commitLog: CommitLog
  /** Keeps writes for nodes that are down. */
  readonly hints: boolean
  /** Absolute; the folder above it holds this cluster's nodes and nothing else. */
  readonly dir: string
}

export const yamlOf = (node: NodeConfig): string => `cluster_name: parley-test
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
num_tokens: 1
initial_token: ${node.token}
auto_bootstrap: false
listen_address: ${node.address}
rpc_address: ${node.address}
storage_port: ${node.storagePort}
native_transport_port: ${node.port}
start_native_transport: true
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: ${node.seed}
data_file_directories: [${node.dir}/data]
commitlog_directory: ${node.dir}/commitlog
saved_caches_directory: ${node.dir}/caches
hints_directory: ${node.dir}/hints
cdc_raw_directory: ${node.dir}/cdc
cdc_enabled: false
commitlog_sync: ${node.commitLog}
${node.commitLog === 'periodic' ? 'commitlog_sync_period: 10s\n' : ''}commitlog_segment_size: 5MiB
auto_snapshot: false
incremental_backups: false
memtable_allocation_type: heap_buffers
disk_access_mode: standard
file_cache_size: 32MiB
hinted_handoff_enabled: ${node.hints}
`

/** Without a level of its own it logs everything, and starts at a crawl. */
export const LOGBACK = `<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %date{HH:mm:ss.SSS} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
`

/** `archive`: the option for its class-data archive. */
export const javaArguments = (
  dir: string,
  jars: readonly string[],
  archive: readonly string[],
): string[] => [
  '-Xms64m',
  '-Xmx384m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-XX:-UsePerfData',
  ...archive,
  ...['java.base/sun.nio.ch', 'java.base/jdk.internal.ref', 'java.base/java.io'].flatMap((name) => [
    '--add-opens',
    `${name}=ALL-UNNAMED`,
  ]),
  '-Dcassandra-foreground=yes',
  '-Dcassandra.skip_wait_for_gossip_to_settle=0',
  '-Dcassandra.ring_delay_ms=1000',
  '-Dcassandra.shutdown_announce_in_ms=0',
  // What it would measure for eight seconds.
  '-Dcassandra.memtable.row_overhead_size=181',
  `-Dcassandra.config=file:${dir}/cassandra.yaml`,
  `-Dcassandra.storagedir=${dir}/data`,
  `-Dlogback.configurationFile=${dir}/logback.xml`,
  `-Djava.io.tmpdir=${dir}/tmp`,
  '-cp',
  jars.join(':'),
  'org.apache.cassandra.service.CassandraDaemon',
]
