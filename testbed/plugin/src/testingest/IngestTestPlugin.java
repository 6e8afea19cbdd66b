package testingest;

import java.lang.reflect.Proxy;
import java.util.Locale;
import java.util.Map;
import org.elasticsearch.ingest.AbstractProcessor;
import org.elasticsearch.ingest.ConfigurationUtils;
import org.elasticsearch.ingest.IngestDocument;
import org.elasticsearch.ingest.Processor;
import org.elasticsearch.plugins.IngestPlugin;
import org.elasticsearch.plugins.Plugin;

/** A few ingest processors. Three have names of their own; tests name `fail` as everybody does. */
public final class IngestTestPlugin extends Plugin implements IngestPlugin {
    @Override
    public Map<String, Processor.Factory> getProcessors(Processor.Parameters parameters) {
        return Map.of(
            "test_set", factory("test_set", IngestTestPlugin::set),
            "test_upper", factory("test_upper", IngestTestPlugin::upper),
            "test_drop", factory("test_drop", (tag, config) -> document -> null),
            "fail", factory("fail", IngestTestPlugin::fail)
        );
    }

    private interface Step {
        IngestDocument run(IngestDocument document);
    }

    private interface Maker {
        Step make(String tag, Map<String, Object> config);
    }

    private static Step set(String tag, Map<String, Object> config) {
        String field = ConfigurationUtils.readStringProperty("test_set", tag, config, "field");
        Object value = ConfigurationUtils.readObject("test_set", tag, config, "value");
        return document -> {
            document.setFieldValue(field, value);
            return document;
        };
    }

    /** Fails where there is no text. */
    private static Step upper(String tag, Map<String, Object> config) {
        String field = ConfigurationUtils.readStringProperty("test_upper", tag, config, "field");
        return document -> {
            String text = document.getFieldValue(field, String.class);
            document.setFieldValue(field, text.toUpperCase(Locale.ROOT));
            return document;
        };
    }

    private static Step fail(String tag, Map<String, Object> config) {
        String message = ConfigurationUtils.readStringProperty("fail", tag, config, "message");
        return document -> {
            throw new IllegalStateException(message);
        };
    }

    /** What `create` is given differs from version to version; tag, description, config do not. */
    private static Processor.Factory factory(String type, Maker maker) {
        return (Processor.Factory) Proxy.newProxyInstance(
            IngestTestPlugin.class.getClassLoader(),
            new Class<?>[] { Processor.Factory.class },
            (proxy, method, given) -> {
                @SuppressWarnings("unchecked")
                Map<String, Object> config = (Map<String, Object>) given[3];
                Step step = maker.make((String) given[1], config);
                return new TestProcessor(type, (String) given[1], (String) given[2], step);
            }
        );
    }

    private static final class TestProcessor extends AbstractProcessor {
        private final String type;
        private final Step step;

        TestProcessor(String type, String tag, String description, Step step) {
            super(tag, description);
            this.type = type;
            this.step = step;
        }

        @Override
        public IngestDocument execute(IngestDocument document) {
            return step.run(document);
        }

        @Override
        public String getType() {
            return type;
        }
    }
}
