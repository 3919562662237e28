/** What goes over HTTP, as schemas: they check, they document, they are the types. Times are ms since 1970. */
import { Type } from 'typebox'
import { NAME_BYTES, PASSWORD_BYTES } from './text.ts'

const handle = Type.String({
  minLength: 3,
  maxLength: 30,
  description: 'Letters, digits, `_` and `.`; upper case is folded to lower case',
})
const password = Type.String({
  maxLength: PASSWORD_BYTES.most,
  description: `${PASSWORD_BYTES.least} to ${PASSWORD_BYTES.most} bytes`,
})
const name = Type.String({ maxLength: NAME_BYTES, description: 'Display name' })
const deviceName = Type.String({ maxLength: NAME_BYTES, description: 'Name of the device' })
const time = (description: string) => Type.Integer({ description })

export const RegisterBody = Type.Object({
  handle,
  password,
  name: Type.Optional(name),
  device: Type.Optional(deviceName),
})

export const LoginBody = Type.Object({
  handle,
  password,
  device: Type.Optional(deviceName),
  replace: Type.Optional(
    Type.String({ maxLength: 32, description: 'A device to remove, when `limit` was refused' }),
  ),
})

export const RefreshBody = Type.Object({
  refreshToken: Type.String({ maxLength: 512 }),
  attempt: Type.Optional(
    Type.String({
      minLength: 16,
      maxLength: 64,
      description:
        'Random; kept until the answer is there. The same token and attempt get the same answer',
    }),
  ),
})

export const PasswordBody = Type.Object({ password, newPassword: password })
export const ProfileBody = Type.Object({ name })

const tokenFields = {
  user: Type.String({ description: 'User id' }),
  device: Type.String({ description: 'Device id' }),
  accessToken: Type.String({ description: 'For `hello`, and for `Authorization: Bearer`' }),
  accessExpires: time('When it expires'),
  refreshToken: Type.String({ description: 'For one refresh; the answer holds the next' }),
  refreshExpires: time('When the device is logged out if it does not refresh'),
}

export const TokensReply = Type.Object(tokenFields)
export const SessionReply = Type.Object({ ...tokenFields, handle, name })

export const DeviceItem = Type.Object({
  device: Type.String({ description: 'Device id' }),
  name: deviceName,
  created: time('Login'),
  used: time('Last login or refresh'),
})
export const DevicesReply = Type.Object({
  devices: Type.Array(
    Type.Object({ ...DeviceItem.properties, current: Type.Boolean({ description: 'This one' }) }),
  ),
})

export const PersonReply = Type.Object({ user: Type.String(), handle, name })
export const PeopleReply = Type.Object({ users: Type.Array(PersonReply) })
export const ProfileReply = Type.Object({
  ...PersonReply.properties,
  created: time('Registration'),
})

export const GatewayReply = Type.Object({
  url: Type.String({ description: 'WebSocket address' }),
  alternatives: Type.Array(Type.String(), { description: 'Where to go if that one fails' }),
})

export const NoContent = Type.Null({ description: 'Done' })
