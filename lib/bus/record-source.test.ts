import t from 'tap'
import { sequences } from './record-source.ts'

t.test('a reply subject says which delivery of which record it acknowledges', async (t) => {
  const short = '$JS.ACK.LOG_0.projection_history.1.9007199254740991.81.1790000000123456789.4'
  t.same(sequences(short), { position: 9007199254740991, delivery: 81 })
  const domain = '$JS.ACK.hub.ACME.LOG_0.projection_history.1.12.7.1790000000123456789.4'
  t.same(sequences(domain), { position: 12, delivery: 7 })
  t.same(sequences(`${domain}.Xq12`), { position: 12, delivery: 7 })
})
