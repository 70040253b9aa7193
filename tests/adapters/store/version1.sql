BEGIN TRANSACTION;
CREATE TABLE attempts (
	exchange INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	target TEXT NOT NULL, 
	after_s FLOAT NOT NULL, 
	ttft_s FLOAT, 
	duration_s FLOAT, 
	verdict TEXT, 
	committed BOOLEAN NOT NULL, 
	cancelled BOOLEAN NOT NULL, 
	connected_s FLOAT, 
	PRIMARY KEY (exchange, number)
);
INSERT INTO "attempts" VALUES(1,1,'a/m',0.0,NULL,1.0,'overloaded',0,0,NULL);
INSERT INTO "attempts" VALUES(1,2,'b/m',1.0,0.5,1.0,NULL,1,0,NULL);
INSERT INTO "attempts" VALUES(2,1,'a/m',0.0,NULL,1.0,'overloaded',0,0,NULL);
INSERT INTO "attempts" VALUES(2,2,'b/m',1.0,0.5,1.0,NULL,1,0,NULL);
CREATE TABLE exchanges (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	caller TEXT, 
	dialect TEXT NOT NULL, 
	operation TEXT NOT NULL, 
	model TEXT NOT NULL, 
	stream BOOLEAN NOT NULL, 
	outcome TEXT NOT NULL, 
	problem TEXT, 
	status INTEGER, 
	served TEXT, 
	strategy TEXT, 
	input_tokens INTEGER, 
	output_tokens INTEGER, 
	cached_tokens INTEGER, 
	thinking_tokens INTEGER, 
	estimated BOOLEAN NOT NULL, 
	queued_s FLOAT NOT NULL, 
	ttft_s FLOAT, 
	duration_s FLOAT NOT NULL, 
	losses TEXT NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "exchanges" VALUES(1,'old-1',1790000000.0,'web','ollama.chat','chat','m',1,'ok',NULL,200,'a/m',NULL,11,3,NULL,NULL,0,0.001,0.25,2.0,'{}');
INSERT INTO "exchanges" VALUES(2,'old-2',1790000001.0,NULL,'ollama.chat','chat','m',1,'ok',NULL,200,'a/m',NULL,11,3,NULL,NULL,0,0.001,0.25,2.0,'{}');
CREATE INDEX exchanges_at ON exchanges (at);
CREATE INDEX exchanges_id ON exchanges (id);
COMMIT;
PRAGMA user_version = 1;
