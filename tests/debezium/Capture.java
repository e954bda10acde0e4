/* Capture.java -- runs Debezium's engine on one server and writes down every event it hands out.
 * What differs from server to server (LSNs, transaction numbers, times) is replaced, and nothing
 * else, so that two logs of the same workload can be compared byte by byte.
 *
 * java Capture PORT DIRECTORY MARKER: offsets and events are in DIRECTORY, the events appended.
 * Creates DIRECTORY/ready.MARKER once it streams, and ends after the row MARKER of table marker. */
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

public final class Capture
{
	private static final int LIMIT_S = 60;
	private static final ObjectMapper JSON = new ObjectMapper();

	private final String port;
	private final Path directory;
	private final int marker;
	private final PrintWriter log;
	private final CountDownLatch ended = new CountDownLatch(1);
	private final Map<String, Integer> transactions = new HashMap<>();
	private volatile boolean markerSeen;

	private Capture(String port, Path directory, int marker) throws IOException
	{
		this.port = port;
		this.directory = directory;
		this.marker = marker;
		this.log = new PrintWriter(Files.newBufferedWriter(directory.resolve("events"),
				StandardCharsets.UTF_8, StandardOpenOption.CREATE, StandardOpenOption.APPEND));
	}

	public static void main(String[] args) throws Exception
	{
		Capture capture = new Capture(args[0], Path.of(args[1]), Integer.parseInt(args[2]));

		/* The engine leaves threads behind; this is the end whatever they do. */
		System.exit(capture.run() ? 0 : 1);
	}

	private Properties settings()
	{
		Properties settings = new Properties();

		settings.setProperty("name", "check");
		settings.setProperty("connector.class",
				"io.debezium.connector.postgresql.PostgresConnector");
		settings.setProperty("plugin.name", "decoderbufs");
		settings.setProperty("offset.storage",
				"org.apache.kafka.connect.storage.FileOffsetBackingStore");
		settings.setProperty("offset.storage.file.filename", directory.resolve("offsets").toString());
		settings.setProperty("offset.flush.interval.ms", "0");
		settings.setProperty("database.hostname", "127.0.0.1");
		settings.setProperty("database.port", port);
		settings.setProperty("database.user", "postgres");
		settings.setProperty("database.password", "");
		settings.setProperty("database.dbname", "postgres");
		settings.setProperty("topic.prefix", "check");
		settings.setProperty("slot.name", "debezium");
		settings.setProperty("snapshot.mode", "no_data");
		settings.setProperty("include.unknown.datatypes", "true");
		settings.setProperty("provide.transaction.metadata", "true");
		settings.setProperty("errors.max.retries", "0");
		return settings;
	}

	private boolean run() throws Exception
	{
		boolean inTime;
		ExecutorService executor = Executors.newSingleThreadExecutor();
		DebeziumEngine<ChangeEvent<String, String>> engine =
				DebeziumEngine.create(Json.class).using(settings())
						.using((success, message, error) ->
						{
							if (!success)
								System.err.println("the engine ended: " + message + ": " + error);
							ended.countDown();
						})
						.notifying(this::handle).build();

		executor.execute(engine);
		awaitStream();
		Files.createFile(directory.resolve("ready." + marker));
		inTime = ended.await(LIMIT_S, TimeUnit.SECONDS);
		engine.close();
		log.close();
		if (!inTime)
			System.err.println("marker " + marker + " has not come within " + LIMIT_S + " s");
		return markerSeen && !log.checkError();
	}

	/* Rows that are written before the slot is there would never come. */
	private void awaitStream() throws SQLException, InterruptedException
	{
		String active = "SELECT 1 FROM pg_replication_slots WHERE slot_name = 'debezium' AND active";

		try (Connection connection = DriverManager.getConnection(
						"jdbc:postgresql://127.0.0.1:" + port + "/postgres?user=postgres");
				Statement statement = connection.createStatement())
		{
			for (int i = 0; i < LIMIT_S * 10 && ended.getCount() > 0; i++)
			{
				try (ResultSet result = statement.executeQuery(active))
				{
					if (result.next())
						return;
				}
				Thread.sleep(100);
			}
		}
	}

	private void handle(ChangeEvent<String, String> event)
	{
		try
		{
			JsonNode value = normalized(event.value());
			String line = event.destination() + "\t" + normalized(event.key()) + "\t" + value;

			/* What Debezium writes for type name: an object's address. */
			log.println(line.replaceAll("\\[B@[0-9a-f]+", "[B@*"));
			log.flush();
			if (event.destination().equals("check.public.marker")
					&& value.at("/payload/after/id").asInt() == marker)
			{
				markerSeen = true;
				ended.countDown();
			}
		}
		catch (IOException e)
		{
			throw new RuntimeException(e);
		}
	}

	private JsonNode normalized(String text) throws IOException
	{
		JsonNode event = JSON.readTree(text == null ? "null" : text);
		JsonNode payload = event.path("payload");

		replace(payload, "ts_ms", "ts_us", "ts_ns");
		replace(payload.path("source"), "ts_ms", "ts_us", "ts_ns", "txId", "lsn", "xmin", "sequence");
		number(payload);
		number(payload.path("transaction"));
		return event;
	}

	private static void replace(JsonNode node, String... names)
	{
		for (String name : names)
		{
			if (node.hasNonNull(name))
				((ObjectNode) node).put(name, "*");
		}
	}

	/* "xid:lsn" becomes the transaction's place in this run: which rows share one stays visible. */
	private void number(JsonNode node)
	{
		String id = node.path("id").asText();

		if (id.matches("[0-9]+:[0-9]+"))
			((ObjectNode) node).put("id",
					"transaction " + transactions.computeIfAbsent(id, k -> transactions.size() + 1));
	}
}
