export { freePort, freePorts } from '../../nats/ports.ts'
