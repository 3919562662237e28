CREATE TABLE "devices" (
	"id" text PRIMARY KEY NOT NULL,
	"user" text NOT NULL,
	"name" text NOT NULL,
	"created" bigint NOT NULL,
	"used" bigint NOT NULL,
	"removed" bigint
);
--> statement-breakpoint
CREATE TABLE "outbox" (
	"user" text NOT NULL,
	"kind" text NOT NULL,
	"version" bigint NOT NULL,
	"payload" "bytea" NOT NULL,
	"changed" bigint NOT NULL,
	"published" bigint,
	CONSTRAINT "outbox_user_kind_pk" PRIMARY KEY("user","kind")
);
--> statement-breakpoint
CREATE TABLE "refresh_tokens" (
	"device" text PRIMARY KEY NOT NULL,
	"n" integer NOT NULL,
	"hash" "bytea" NOT NULL,
	"attempt" "bytea",
	"expires" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "users" (
	"id" text PRIMARY KEY NOT NULL,
	"handle" text NOT NULL,
	"password" text NOT NULL,
	"name" text NOT NULL,
	"generation" integer NOT NULL,
	"version" bigint NOT NULL,
	"policy" smallint NOT NULL,
	"created" bigint NOT NULL,
	CONSTRAINT "users_handle_unique" UNIQUE("handle")
);
--> statement-breakpoint
ALTER TABLE "devices" ADD CONSTRAINT "devices_user_users_id_fk" FOREIGN KEY ("user") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "outbox" ADD CONSTRAINT "outbox_user_users_id_fk" FOREIGN KEY ("user") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "refresh_tokens" ADD CONSTRAINT "refresh_tokens_device_devices_id_fk" FOREIGN KEY ("device") REFERENCES "public"."devices"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "devices_of_user" ON "devices" USING btree ("user");--> statement-breakpoint
CREATE INDEX "outbox_pending" ON "outbox" USING btree ("changed","user") WHERE published is null;