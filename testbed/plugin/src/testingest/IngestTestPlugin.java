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

/** A few processors of the module ingest-common, as far as tests and the proxy use them. */
public final class IngestTestPlugin extends Plugin implements IngestPlugin {
    @Override
    public Map<String, Processor.Factory> getProcessors(Processor.Parameters parameters) {
        return Map.of(
            "set", factory("set", IngestTestPlugin::set),
            "uppercase", factory("uppercase", IngestTestPlugin::uppercase),
            "drop", factory("drop", (tag, config) -> document -> null),
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
        String field = ConfigurationUtils.readStringProperty("set", tag, config, "field");
        String from = ConfigurationUtils.readOptionalStringProperty("set", tag, config, "copy_from");
        Object value = from == null ? ConfigurationUtils.readObject("set", tag, config, "value") : null;
        return document -> {
            Object made = from == null ? value : document.getFieldValue(from, Object.class);
            document.setFieldValue(field, made);
            return document;
        };
    }

    /** Fails where there is no text. */
    private static Step uppercase(String tag, Map<String, Object> config) {
        String field = ConfigurationUtils.readStringProperty("uppercase", tag, config, "field");
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
