/**
 * What the driver said, for a log: drizzle's own message would hold the parameters, password hashes among them, and so
 * do the properties that drivers put on their errors.
 */
export const driverText = (error: unknown): string => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  return cause instanceof Error ? cause.message : String(cause)
}
