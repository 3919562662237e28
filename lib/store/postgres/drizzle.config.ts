/** For `npx drizzle-kit generate`, from the project's root. */
export default {
  dialect: 'postgresql',
  schema: 'lib/store/postgres/schema.ts',
  out: 'lib/store/postgres/migrations',
}
