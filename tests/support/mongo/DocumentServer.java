import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.net.InetSocketAddress;
import java.util.List;

/**
 * Serves MongoDB's wire protocol from memory on a free port of 127.0.0.1, prints the port, and ends with its standard input,
 * so that it never outlives the tests that started it.
 */
public final class DocumentServer {
    /** Drivers of today want at least MongoDB 5.0; the server would say that it is older. */
    private static final class Version5 implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0);
        }

        @Override
        public int getWireVersion() {
            return 13;
        }
    }

    public static void main(String[] arguments) throws Exception {
        MemoryBackend documents = new MemoryBackend();
        documents.version(new Version5());
        MongoServer server = new MongoServer(documents);
        InetSocketAddress address = new InetSocketAddress("127.0.0.1", 0);
        server.bind(address);
        System.out.println("port " + server.getLocalAddress().getPort());
        while (System.in.read() != -1) {
            continue;
        }
        server.shutdownNow();
    }
}
