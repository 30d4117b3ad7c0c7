BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE artifacts (
	run_id VARCHAR(16) NOT NULL, 
	path VARCHAR(255) NOT NULL, 
	kind TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	sha256 TEXT NOT NULL, 
	step INTEGER, 
	created DATETIME NOT NULL, 
	CONSTRAINT pk_artifacts PRIMARY KEY (run_id, path), 
	CONSTRAINT fk_artifacts_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "artifacts" VALUES('1m892crxnaa','samples/50.png','samples',10,'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd',50,'2026-10-01 12:00:00.000000');
CREATE TABLE checkpoints (
	run_id VARCHAR(16) NOT NULL, 
	step INTEGER NOT NULL, 
	path TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	sha256 TEXT NOT NULL, 
	created DATETIME NOT NULL, 
	deleted DATETIME, 
	CONSTRAINT pk_checkpoints PRIMARY KEY (run_id, step), 
	CONSTRAINT fk_checkpoints_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "checkpoints" VALUES('1m892crxnaa',50,'checkpoints/step-00000050',1234,'abababababababababababababababababababababababababababababababab','2026-10-01 12:00:00.000000',NULL);
CREATE TABLE components (
	run_id VARCHAR(16) NOT NULL, 
	role VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	distribution TEXT NOT NULL, 
	version TEXT NOT NULL, 
	options JSON NOT NULL, 
	CONSTRAINT pk_components PRIMARY KEY (run_id, role, name), 
	CONSTRAINT fk_components_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "components" VALUES('1m892crxnaa','loss','hinge','sngan','0.1.0','{}');
CREATE TABLE events (
	id INTEGER NOT NULL, 
	run_id VARCHAR(16) NOT NULL, 
	kind TEXT NOT NULL, 
	message TEXT NOT NULL, 
	step INTEGER, 
	created DATETIME NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (id), 
	CONSTRAINT fk_events_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "events" VALUES(1,'1m892crxnaa','resumed','Resumed.',50,'2026-10-01 12:00:00.000000');
INSERT INTO "events" VALUES(2,'1m892crxnaa','data','The data are 600 pictures, SHA-256 dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd.',NULL,'2026-10-01 12:00:00.000000');
INSERT INTO "events" VALUES(3,'1m892crxnaa','data','10 pictures were enlarged.',NULL,'2026-10-01 12:00:00.000000');
CREATE TABLE extractors (
	weights_sha256 VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	manifest JSON NOT NULL, 
	host TEXT NOT NULL, 
	path TEXT NOT NULL, 
	created DATETIME NOT NULL, 
	removed DATETIME, 
	CONSTRAINT pk_extractors PRIMARY KEY (weights_sha256, name)
);
INSERT INTO "extractors" VALUES('efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef','mine','{"name": "mine", "accuracy": 0.875}','elsewhere','/srv/sngan/extractors/mine','2026-10-01 12:00:00.000000',NULL);
CREATE TABLE picture_scores (
	pictures_sha256 VARCHAR(64) NOT NULL, 
	metric VARCHAR(64) NOT NULL, 
	protocol VARCHAR(255) NOT NULL, 
	pictures TEXT NOT NULL, 
	against TEXT NOT NULL, 
	value FLOAT, 
	std FLOAT, 
	higher_is_better BOOLEAN NOT NULL, 
	evidence JSON NOT NULL, 
	created DATETIME NOT NULL, 
	CONSTRAINT pk_picture_scores PRIMARY KEY (pictures_sha256, metric, protocol)
);
INSERT INTO "picture_scores" VALUES('1212121212121212121212121212121212121212121212121212121212121212','is','shapes-cnn@01234567 n=100','near','shapes',2.5,NULL,1,'{"images": 100}','2026-10-01 12:00:00.000000');
CREATE TABLE runs (
	id VARCHAR(16) NOT NULL, 
	name VARCHAR(255), 
	status VARCHAR(16) NOT NULL, 
	reason TEXT, 
	parent VARCHAR(16), 
	config JSON NOT NULL, 
	seed BIGINT NOT NULL, 
	step INTEGER NOT NULL, 
	steps INTEGER NOT NULL, 
	created DATETIME NOT NULL, 
	started DATETIME, 
	ended DATETIME, 
	heartbeat DATETIME, 
	note TEXT, 
	sngan TEXT NOT NULL, 
	python TEXT NOT NULL, 
	torch TEXT NOT NULL, 
	cuda TEXT, 
	device TEXT NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	git_commit TEXT, 
	command TEXT NOT NULL, removed DATETIME, 
	CONSTRAINT pk_runs PRIMARY KEY (id), 
	CONSTRAINT fk_runs_parent FOREIGN KEY(parent) REFERENCES runs (id) ON DELETE SET NULL
);
INSERT INTO "runs" VALUES('1m892crxnaa','old','finished',NULL,NULL,'{"dataset": {"name": "shapes"}, "n_dis": 5}',7,100,100,'2026-11-25 10:00:35.509865','2026-11-25 10:00:35.515878','2026-11-25 10:00:35.527683','2026-11-25 10:00:35.515878','a try','0.1.0','3.11.7','2.11.0',NULL,'cpu','elsewhere',1,NULL,'sngan train --dataset shapes',NULL);
INSERT INTO "runs" VALUES('1m892cry839',NULL,'queued',NULL,'1m892crxnaa','{}',1,0,1,'2026-11-25 10:00:35.528862',NULL,NULL,NULL,NULL,'0.1.0','3.11.7','2.11.0',NULL,'cpu','elsewhere',1,NULL,'sngan train --dataset shapes',NULL);
CREATE TABLE scalars (
	run_id VARCHAR(16) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	step INTEGER NOT NULL, 
	value FLOAT, 
	CONSTRAINT pk_scalars PRIMARY KEY (run_id, name, step), 
	CONSTRAINT fk_scalars_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "scalars" VALUES('1m892crxnaa','loss_d',1,1.5);
INSERT INTO "scalars" VALUES('1m892crxnaa','loss_d',2,NULL);
CREATE TABLE scores (
	run_id VARCHAR(16) NOT NULL, 
	metric VARCHAR(64) NOT NULL, 
	protocol VARCHAR(255) NOT NULL, 
	step INTEGER NOT NULL, 
	generator_weights VARCHAR(64) NOT NULL, 
	value FLOAT, 
	std FLOAT, 
	higher_is_better BOOLEAN NOT NULL, 
	evidence JSON NOT NULL, 
	created DATETIME NOT NULL, 
	CONSTRAINT pk_scores PRIMARY KEY (run_id, metric, protocol, step, generator_weights), 
	CONSTRAINT fk_scores_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "scores" VALUES('1m892crxnaa','is','shapes-cnn@01234567 n=100',50,'raw',3.25,0.125,1,'{"images": 100, "generator_weights": "raw"}','2026-10-01 12:00:00.000000');
CREATE TABLE tags (
	run_id VARCHAR(16) NOT NULL, 
	tag VARCHAR(255) NOT NULL, 
	CONSTRAINT pk_tags PRIMARY KEY (run_id, tag), 
	CONSTRAINT fk_tags_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "tags" VALUES('1m892crxnaa','kept');
CREATE INDEX ix_runs_created ON runs (created);
CREATE INDEX ix_runs_name ON runs (name);
CREATE INDEX ix_runs_parent ON runs (parent);
CREATE INDEX ix_runs_status ON runs (status);
CREATE INDEX ix_tags_tag ON tags (tag);
CREATE INDEX ix_scores_metric_created ON scores (metric, created);
CREATE INDEX ix_events_run_id ON events (run_id);
COMMIT;
