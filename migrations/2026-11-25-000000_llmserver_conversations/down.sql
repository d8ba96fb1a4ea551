DROP TABLE llmserver_messages;
DROP TABLE llmserver_conversations;
